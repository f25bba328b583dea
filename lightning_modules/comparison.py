"""ILLUME's figure 6: the same language model learns the codes of several tokenizers, on the very same images.

The arms share every batch and begin from one set of weights; each has its own part of the optimizer and its own gradient
norm. So each learns exactly what it would have learned alone, and images are equal by construction.
"""

import copy
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from lightning_modules.optimization import RunLength, adamw, train_only
from lightning_modules.predecessor import parts_of
from models.language.text_tokenizer import text_rows
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, Sequencer
from models.tokenizer.quantizer import perplexity
from models.unified import Illume


class TokenizerComparison(L.LightningModule):
    """One language model for each tokenizer, alike in sizes, first weights, batches and rates.

    Cross-entropies over two codebooks are not of one unit: the codes of one may hold more than those of the other. So
    beside nats a code (`loss_draw`) validation logs their share of the entropy of single codes (`loss_share`): 1 is
    knowing how often each code comes, and no more.

    Args:
        arms: by name, the model folder that holds a tokenizer with its encoder and detokenizer.
        words: model folder whose text tokenizer spells the captions.
        trunk: Hugging Face config of the language models, made from nothing.
        rates: learning rate of each part of a language model that learns: trunk, text, adapter, vision.
        warmup_steps, weight_decay: of schedule and AdamW.
    """

    items_name = "images"  # what the progress line counts

    def __init__(
        self,
        arms: dict[str, str],
        words: str,
        trunk: dict[str, Any],
        rates: dict[str, float],
        warmup_steps: int = 100,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.folders, self.words, self.trunk, self.rates = arms, words, trunk, rates
        self.warmup_steps, self.weight_decay = warmup_steps, weight_decay
        self.arms = nn.ModuleDict()
        self.register_buffer("images", torch.zeros((), dtype=torch.long))  # that each arm has learned to draw

    def configure_model(self) -> None:
        """Loads the tokenizers and gives each a copy of one new language model, once."""
        if self.arms:
            return
        words = parts_of(self, self.words, "text_tokenizer")
        language = None
        for name, folder in self.folders.items():
            parts = parts_of(self, folder, "encoder", "tokenizer", "detokenizer")
            encoder, tokenizer = parts["encoder"], parts["tokenizer"]
            language = language or UnifiedLM(
                self.trunk,
                text_size=text_rows(words["text_tokenizer"]),
                codes=tokenizer.codes,
                feature_width=encoder.width,
                see_tokens=encoder.tokens,
                draw_tokens=tokenizer.tokens,
            )
            model = Illume(**parts, **words, language=copy.deepcopy(language)).requires_grad_(False)
            train_only(model.language.parts(), self.rates)
            self.arms[name] = model
        self.train()  # Lightning does not: codebooks and batch statistics that are new would go on moving

    @property
    def sequencer(self) -> Sequencer:
        """What turns documents into tokens, the same for every arm."""
        return next(iter(self.arms.values())).sequencer

    @property
    def text_tokenizer(self) -> PreTrainedTokenizerBase:
        """Words to ids."""
        return next(iter(self.arms.values())).text_tokenizer

    @property
    def images_seen(self) -> int:
        """Images that each arm has learned to draw so far, over all ranks, which draw as many."""
        return int(self.images) * self.trainer.world_size

    def train(self, mode: bool = True) -> "TokenizerComparison":
        """Only the language models have a training mode."""
        super().train(mode)
        for model in self.arms.values():
            model.eval()
            model.language.train(mode)
        return self

    def training_step(self, batch: PackedBatch) -> Tensor:
        """The sum of the arms' losses by learned token: none has a part in another's gradient."""
        self.images += len(batch.draw_images)
        total = torch.zeros((), device=self.device)
        for name, model in self.arms.items():
            loss = model.language.loss(batch, *model.inputs(batch))
            total = total + loss.mean
            self.log(f"train/loss_draw_{name}", loss.draw / loss.draw_tokens.clamp_min(1), sync_dist=True)
        self.log("train/loss", total / len(self.arms), sync_dist=True)
        return total

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips each arm by its own norm: one that stumbles must not slow down the other."""
        for model in self.arms.values() if gradient_clip_val else ():
            nn.utils.clip_grad_norm_(model.language.parameters(), gradient_clip_val)

    def on_validation_epoch_start(self) -> None:
        """Sums anew: loss and number of codes by arm, and how often each code comes."""
        codes = self.sequencer.vocabulary.codes
        self.sums = {name: torch.zeros(2, dtype=torch.float, device=self.device) for name in self.arms}
        self.counts = {name: torch.zeros(codes, dtype=torch.long, device=self.device) for name in self.arms}

    def validation_step(self, batch: PackedBatch) -> None:
        """The loss on codes on the fixed validation set."""
        for name, model in self.arms.items():
            features, codes = model.inputs(batch)
            loss = model.language.loss(batch, features, codes)
            self.sums[name] += torch.stack([loss.draw, loss.draw_tokens])
            self.counts[name] += torch.bincount(codes.flatten(), minlength=len(self.counts[name]))

    def on_validation_epoch_end(self) -> None:
        """Nats a code, and their share of the entropy of single codes, over all ranks."""
        reduce = self.trainer.strategy.reduce
        metrics: dict[str, Tensor | float] = {"images": float(self.images_seen)}
        for name in self.arms:
            total, number = reduce(self.sums[name], reduce_op="sum")
            entropy = perplexity(reduce(self.counts[name], reduce_op="sum")).log()
            metrics |= {f"val/loss_draw_{name}": total / number, f"val/entropy_{name}": entropy}
            metrics[f"val/loss_share_{name}"] = total / number / entropy
        self.log_dict(metrics)

    def items_in_batch(self, batch: PackedBatch) -> int:
        """Images."""
        return len(batch.draw_images)

    def configure_optimizers(self) -> dict[str, Any]:
        """One AdamW with the same rates for the parts of every arm."""
        parts, rates = {}, {}
        for name, model in self.arms.items():
            parts |= {f"{name}/{part}": values for part, values in model.language.parts().items()}
            rates |= {f"{name}/{part}": rate for part, rate in self.rates.items()}
        return adamw(parts, rates, RunLength(self.trainer), self.warmup_steps, self.weight_decay)

    def export(self, folder: str) -> None:
        """Writes a model folder for each arm, under its name."""
        for name, model in self.arms.items():
            model.save_pretrained(f"{folder}/{name}")
