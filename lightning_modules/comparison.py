"""ILLUME's figure 6: the same language model learns the codes of several tokenizers, on the very same images.

The branches share every batch and begin from one set of weights; each has its own parameter groups and its own gradient
norm. So each learns exactly what it would have learned alone, and images are equal by construction.
"""

import copy
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from lightning_modules.optimization import RunLength, build_optimizer, freeze_except
from lightning_modules.stage_module import StageModule
from models.language.text_tokenizer import text_rows
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, Sequencer
from models.tokenizer.quantizer import perplexity
from models.unified import Illume


class TokenizerComparison(StageModule):
    """One language model for each tokenizer, alike in sizes, first weights, batches and rates.

    Cross-entropies over two codebooks are not of one unit: the codes of one may hold more than those of the other. So
    beside nats per code (`loss_draw`) validation logs their share of the entropy of single codes (`loss_share`): 1 is
    knowing how often each code comes, and no more.

    Args:
        branches: by name, the model folder that holds a tokenizer with its encoder and detokenizer.
        text_tokenizer: model folder whose text tokenizer reads the captions.
        trunk: Hugging Face config of the language models, from scratch.
        learning_rates: of each component of a language model that learns: trunk, text, adapter, vision.
        warmup_steps, weight_decay: of schedule and AdamW.
    """

    items_name = "images"
    images: Tensor

    def __init__(
        self,
        branches: dict[str, str],
        text_tokenizer: str,
        trunk: dict[str, Any],
        learning_rates: dict[str, float],
        warmup_steps: int = 100,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.folders, self.text_tokenizer_folder = branches, text_tokenizer
        self.trunk, self.learning_rates = trunk, learning_rates
        self.warmup_steps, self.weight_decay = warmup_steps, weight_decay
        self.branches = nn.ModuleDict()
        self.register_buffer(
            "images", torch.zeros((), dtype=torch.long)
        )  # that each branch has learned to draw

    def build_model(self) -> None:
        """Loads the tokenizers and gives each a copy of one new language model."""
        shared = self.predecessors.load(self, self.text_tokenizer_folder, "text_tokenizer")
        language = None
        for name, folder in self.folders.items():
            own = self.predecessors.load(self, folder, "encoder", "tokenizer", "detokenizer")
            encoder, tokenizer = own["encoder"], own["tokenizer"]
            language = language or UnifiedLM(
                self.trunk,
                text_size=text_rows(shared["text_tokenizer"]),
                codes=tokenizer.codes,
                feature_width=encoder.width,
                see_tokens=encoder.tokens,
                draw_tokens=tokenizer.tokens,
            )
            model = Illume(**own, **shared, language=copy.deepcopy(language)).requires_grad_(False)
            freeze_except(self.learning_rates, model.language.param_groups())
            self.branches[name] = model

    @property
    def models(self) -> list[Illume]:
        """The model of each branch."""
        return list(self.named_models.values())

    @property
    def named_models(self) -> dict[str, Illume]:
        """The model of each branch, by its name."""
        return {name: cast(Illume, model) for name, model in self.branches.items()}

    @property
    def sequencer(self) -> Sequencer:
        """What turns documents into tokens, the same for every branch."""
        return self.models[0].sequencer

    @property
    def text_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the captions."""
        return self.models[0].text_tokenizer

    @property
    def images_seen(self) -> int:
        """Images that each branch has learned to draw so far, over all ranks, which draw as many."""
        return int(self.images) * self.trainer.world_size

    def train(self, mode: bool = True) -> "TokenizerComparison":
        """Only the language models have a training mode."""
        super().train(mode)
        for model in self.models:
            model.eval()
            model.language.train(mode)
        return self

    def loss(self, batch: PackedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the branches' losses per target token: none has a share in another's gradient."""
        logged: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        for name, model in self.named_models.items():
            loss = model.language.loss(batch, *model.encode_images(batch))
            total = total + loss.mean
            logged[f"loss_draw_{name}"] = loss.draw / loss.draw_tokens.clamp_min(1)
        return total, logged | {"loss": total / len(self.branches)}

    def training_step(self, batch: PackedBatch) -> Tensor:
        """Logs and returns the loss."""
        self.images += len(batch.draw_images)
        total, logged = self.loss(batch)
        self.log_dict({f"train/{name}": value for name, value in logged.items()}, sync_dist=True)
        return total

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips each branch by its own norm: one that stumbles must not slow down the other."""
        for model in self.models:
            if gradient_clip_val:
                nn.utils.clip_grad_norm_(model.language.parameters(), gradient_clip_val)

    def on_validation_epoch_start(self) -> None:
        """Sums anew: loss and number of codes by branch, and how often each code comes."""
        codes = self.sequencer.vocabulary.codes
        self.sums = {name: torch.zeros(2, dtype=torch.float, device=self.device) for name in self.branches}
        self.counts = {
            name: torch.zeros(codes, dtype=torch.long, device=self.device) for name in self.branches
        }

    def validation_step(self, batch: PackedBatch) -> None:
        """The loss on codes on the fixed validation set."""
        for name, model in self.named_models.items():
            features, codes = model.encode_images(batch)
            loss = model.language.loss(batch, features, codes)
            self.sums[name] += torch.stack([loss.draw, loss.draw_tokens])
            self.counts[name] += torch.bincount(codes.flatten(), minlength=len(self.counts[name]))

    def on_validation_epoch_end(self) -> None:
        """Nats a code, and their share of the entropy of single codes, over all ranks."""
        reduce = self.trainer.strategy.reduce
        metrics: dict[str, Tensor | float] = {"images": float(self.images_seen)}
        for name in self.branches:
            total, number = reduce(self.sums[name], reduce_op="sum")
            entropy = perplexity(reduce(self.counts[name], reduce_op="sum")).log()
            metrics |= {f"val/loss_draw_{name}": total / number, f"val/entropy_{name}": entropy}
            metrics[f"val/loss_share_{name}"] = total / number / entropy
        self.log_dict(metrics)

    def items_in_batch(self, batch: PackedBatch) -> int:
        """Images."""
        return len(batch.draw_images)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One AdamW with the same learning rates for the components of every branch."""
        components: dict[str, list[nn.Parameter]] = {}
        rates: dict[str, float] = {}
        for name, model in self.named_models.items():
            components |= {f"{name}/{own}": group for own, group in model.language.param_groups().items()}
            rates |= {f"{name}/{own}": rate for own, rate in self.learning_rates.items()}
        return build_optimizer(
            components, rates, RunLength(self.trainer), self.warmup_steps, self.weight_decay
        )

    def export(self, folder: str | Path) -> None:
        """Writes a model folder for each branch, under its name."""
        for name, model in self.named_models.items():
            model.save_pretrained(f"{folder}/{name}")
