"""Stages `language` and 1 to 3: one module; what differs is in YAML (where it starts, which parts learn, how fast).

ILLUME's table 5: stage 1 trains the adapter and the vision rows, stage 2 the adapter and the language model, stage 3
everything, the vision encoder for understanding among it. `language` (playground only) reads text alone, from
nothing, and stands in for Vicuna.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.language_start import GENERATION, PROMPTS, join, keep_little, start_parts
from lightning_modules.optimization import RunLength, adamw, train_only
from lightning_modules.predecessor import PLANNED, is_filled_later
from lightning_modules.stage_module import StageModule
from models import sharding
from models.generation import PLAYGROUND
from models.language.lora import add_lora, check_peft, plan_lora
from models.language.unified_lm import TASKS, LanguageLoss
from models.language.weight_dtypes import (
    FrozenDtype,
    check_frozen_dtype,
    export_state_dict,
    half_dtypes,
    set_weight_dtypes,
)
from models.model_folder import save_components
from models.prompts import read_prompts
from models.sequence import PackedBatch
from models.weights import materialize

log = logging.getLogger(__name__)

KINDS = ("text", "draw")  # of learned tokens
SUMS = (
    *(f"loss_{kind}" for kind in KINDS),
    *(f"by_task/{task}" for task in TASKS),
)  # what losses are told of
NOMINAL = 4096.0  # tokens that the summed loss is divided by at first, so that half precision can hold its gradients


class LanguageModule(StageModule):
    """The unified language model on documents.

    Args:
        rates: learning rate of each part that learns: trunk, text, adapter, vision, understanding_encoder.
        start: model folder of each part that is there already: encoder, tokenizer, detokenizer, language,
            text_tokenizer; the key `all` takes every part from one folder.
        language: sizes of a language model made from nothing, or, with `from`, a published one by folder or hub name
            (`models/language/pretrained.py`), which brings its text tokenizer.
        words: for a text tokenizer made from nothing: `shards` to read words from, and `size` in pieces.
        warmup_steps, weight_decay: of schedule and AdamW.
        text_weight: weight of the loss on words beside that on codes (1 in the paper).
        muon: parts whose matrices Muon trains rather than AdamW (none in the paper); it wants them whole.
        codebook_rows: gives the vision rows the tokenizer's number of codes and lays them out as its codebook lies,
            before they learn: for stage 1.
        understanding: size and reduction at which the encoder sees from here on, where they are others than the
            tokenizer's: `{image_size: 448, reduce: 2}`.
        checkpointing: keeps the trunk's activations by layer alone and makes the rest again in the backward pass.
        lora: settings of peft's LoraConfig: the trunk stays, and low-rank additions to its matrices learn in its place,
            at the rate of the part `trunk`; the model folder holds them added up.
        frozen_dtype: type in which the language model's matrices that do not learn are kept: float32, or with
            `precision: bf16-mixed` bfloat16 or float16, in half the memory. What learns, and its moments, are always in
            float32: updates would round away in a half. The model folder is written in float32.
        generation: how the model draws, edits and writes unless told otherwise, laid over its predecessor's: `{draw:
            {cfg: 2.0, top_k: 2048}}` (`models/generation.py`). None: as the predecessor, or else the playground's model.
        prompts: the words of the tasks in training and after: `playground`, `illume_plus`, or by task, laid over the
            predecessor's (`models/prompts.py`). None: as the predecessor, or else the playground's.
        slicing: settings of `models.slices.Slicing`, by which the language model sees images from this stage on, if
            it did not before: stage 3 in the paper. `image_size` of the data must be its size.
    """

    items_name = "tokens"
    start_setting = "model.init_args.start"

    def __init__(
        self,
        rates: dict[str, float],
        start: dict[str, str],
        language: dict[str, Any] | None = None,
        words: dict[str, Any] | None = None,
        warmup_steps: int = 100,
        weight_decay: float = 0.0,
        text_weight: float = 1.0,
        muon: list[str] | None = None,
        codebook_rows: bool = False,
        understanding: dict[str, Any] | None = None,
        checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
        slicing: dict[str, Any] | None = None,
        generation: dict[str, dict[str, int | float] | int | float] | None = None,
        prompts: str | dict[str, str] | None = None,
        frozen_dtype: FrozenDtype = "float32",
    ) -> None:
        super().__init__()
        check_frozen_dtype(frozen_dtype)
        self.frozen_dtype = frozen_dtype
        self.rates, self.start, self.sizes, self.words = rates, start, language, words
        self.warmup_steps, self.weight_decay, self.text_weight = warmup_steps, weight_decay, text_weight
        self.muon, self.codebook_rows = muon or [], codebook_rows
        self.understanding, self.checkpointing, self.lora = understanding, checkpointing, lora
        self.slicing = slicing
        self.generation, self.prompts = generation, prompts
        # what is wrong is told now, before a predecessor is loaded
        PLAYGROUND.override(generation, GENERATION)
        read_prompts(prompts, where=PROMPTS)
        self.full_state_dict: dict[str, Tensor] | None = None  # of a sharded language model, while it is exported

    def build_model(self) -> None:
        """Loads what is there and builds the rest; shards the language model where the strategy has a mesh."""
        if self.device_mesh is not None:
            self.check_shardable()
        trainer = self._trainer
        check_frozen_dtype(self.frozen_dtype, trainer and trainer.precision, self.device_mesh is not None)
        self.assemble()
        train_only(self.components(), self.rates)
        if self.device_mesh is None:
            set_weight_dtypes(self.model.language, self.frozen_dtype)
        else:
            half = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else None
            sharding.shard(self.model.language, self.device_mesh["data_parallel"], half)
            if is_filled_later(self):
                materialize(self.model, self.trainer.strategy.root_device)

    def check_shardable(self) -> None:
        """Makes sure that these settings go with a strategy that shards.

        Raises:
            ValueError: one does not.
        """
        if self.lora:
            raise ValueError(
                "model.init_args.lora: additions are not sharded: use one device, or --config ddp.yaml"
            )
        if self.muon:
            raise ValueError(
                f"model.init_args.muon: {self.muon}: Muon wants whole matrices, and this strategy shards them: "
                "give --model.init_args.muon=[] (AdamW), or another strategy"
            )

    def assemble(self) -> None:
        """Makes `model` of the components that are there and those that are new."""
        if self.lora is not None and PLANNED.get() is None:
            check_peft()
        learns = self.rates.get("understanding_encoder", 0) > 0
        parts = start_parts(self, self.start, self.words, self.sizes, self.generation, self.prompts)
        self.model = join(parts, self.codebook_rows, learns, self.understanding, self.slicing)
        self._fit_generation()
        if self.lora is not None:
            (add_lora if PLANNED.get() is None else plan_lora)(self.model.language, self.lora)
        if self.checkpointing:
            keep_little(self.model, learns)

    def _fit_generation(self) -> None:
        """A recipe's top-k beyond a smaller codebook than it was made for leaves all codes, and that is said."""
        codes, own = self.model.language.vocabulary.codes, self.model.generation
        self.model.generation = own.for_codes(codes)
        if self.model.generation != own and PLANNED.get() is None:
            log.warning(
                "%s: a top_k is more than the %d codes there are, and leaves all: 0 is kept",
                GENERATION,
                codes,
            )

    def components(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that may learn, by component, as ILLUME's table 5 has them."""
        parts = self.model.language.param_groups()
        if self.model.understanding_encoder is not None:
            parts["understanding_encoder"] = list(self.model.understanding_encoder.parameters())
        return parts

    @property
    def fingerprints(self) -> dict[str, str]:
        """What precomputed codes and features must bear; features are of no use where their encoder learns."""
        model = self.model
        stamps = {} if model.tokenizer is None else {"codes": model.fingerprint("encoder", "tokenizer")}
        frozen = model.encoder is not None and model.understanding_encoder is None
        return stamps | ({"features": model.fingerprint("encoder")} if frozen else {})

    def train(self, mode: bool = True) -> "LanguageModule":
        """Only the language model has a training mode; batch statistics of the encoders stay."""
        super().train(mode)
        self.model.eval()
        if self.model.language is not None:
            self.model.language.train(mode)
        return self

    def loss(self, batch: PackedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed next-token loss, and the sums and counts (2, 6) whose means are logged."""
        loss = self.model.language.loss(batch, *self.model.encode_images(batch))
        return self.text_weight * loss.text + loss.draw, {"sums": sums_of(loss)}

    def training_step(self, batch: PackedBatch) -> Tensor:
        """Next-token loss; its gradients become means by target token in `on_before_optimizer_step`."""
        total, logged = self.loss(batch)
        self.window = self.window + logged["sums"]
        return total * self.trainer.accumulate_grad_batches / NOMINAL  # by which Lightning divides

    def _is_logged(self) -> bool:
        """Whether this step is written down: looking at counts makes the host wait for the device."""
        every = self.trainer.log_every_n_steps
        return every > 0 and (self.trainer.global_step + 1) % every == 0

    def on_train_start(self) -> None:
        """An empty window."""
        self.window = torch.zeros(2, len(SUMS), dtype=torch.float, device=self.device)

    def _joint_window(self) -> Tensor:
        """Sums and counts (2, 6) since the last step, over all ranks."""
        return self.trainer.strategy.reduce(self.window.clone(), reduce_op="sum")

    def gradient_factor(self, window: Tensor | None = None) -> Tensor:
        """By which gradients of the summed loss become means by learned token, over all ranks."""
        window = self._joint_window() if window is None else window
        tokens = window[1, : len(KINDS)].sum().clamp_min(1)
        return NOMINAL * self.trainer.world_size / tokens  # data parallelism averages over ranks

    def _mean_loss(self, window: Tensor) -> Tensor:
        """The loss by learned token, of sums and counts (2, 6)."""
        (text, draw), tokens = window[:, : len(KINDS)]
        return (self.text_weight * text + draw) / tokens.sum().clamp_min(1)

    def on_after_backward(self) -> None:
        """Averages what a sharding strategy leaves to us, the gradients of whole parts, at the end of a window."""
        if self.device_mesh is not None and not self.trainer.fit_loop._should_accumulate():
            sharding.average_gradients(self.parameters())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides the gradients by all tokens learned since the last step, on all ranks.

        So a token counts the same in whatever micro-batch or rank it came; a mean of means would not do that.
        """
        window = self._joint_window()
        factor = self.gradient_factor(window)
        for parameter in self.parameters():
            if parameter.grad is not None:
                sharding.local_shard(parameter.grad).mul_(factor)
        self.log("train/loss", self._mean_loss(window), prog_bar=True)
        if self._is_logged():
            # `self.log` would repeat the last value of a task, or of words or codes, in steps that have none of it
            told = means("train/", window)
            for logger in self.loggers:
                logger.log_metrics(told, step=self.trainer.global_step)
        self.window.zero_()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's, but for gradients some of which are shares of a sharded model's."""
        if self.device_mesh is None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
            found = [gradient for gradient in gradients if gradient is not None]
            sharding.clip_gradients(found, gradient_clip_val, gradient_clip_algorithm or "norm")

    def on_validation_epoch_start(self) -> None:
        """Sums anew."""
        self.sums = torch.zeros(2, len(SUMS), dtype=torch.float, device=self.device)

    def validation_step(self, batch: PackedBatch) -> None:
        """The same loss on the fixed validation set."""
        self.sums += self.loss(batch)[1]["sums"]

    def on_validation_epoch_end(self) -> None:
        """Means by token, over all ranks."""
        sums = self.trainer.strategy.reduce(self.sums, reduce_op="sum")
        self.log("val/loss", self._mean_loss(sums))
        told = means("val/", sums)
        shown = {f"val/{name}" for name in SUMS[: len(KINDS)]}
        self.log_dict({name: mean for name, mean in told.items() if name in shown}, prog_bar=True)
        self.log_dict({name: mean for name, mean in told.items() if name not in shown})

    def transfer_batch_to_device(
        self, batch: PackedBatch, device: torch.device, dataloader_idx: int
    ) -> PackedBatch:
        """Moves a packed batch."""
        return batch.to(device, non_blocking=True)

    def items_in_batch(self, batch: PackedBatch) -> Tensor:
        """Tokens, padding not counted; on the device, so that nobody has to wait for it."""
        return (batch.documents >= 0).sum()

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, or Muon, with a rate for each part."""
        steps = RunLength(self.trainer), self.warmup_steps
        return adamw(self.components(), self.rates, *steps, self.weight_decay, muon=self.muon)

    def gather(self) -> None:
        """Brings a sharded model's weights to the first process, for `export`; every process must call it."""
        if sharding.is_sharded(self.model.language):
            self.full_state_dict = sharding.full_state_dict(self.model.language)

    def export(self, folder: str | Path) -> None:
        """Writes every part that is there; `gather` comes first."""
        states = {} if self.full_state_dict is None else {"language": self.full_state_dict}
        if half_dtypes(self.model.language):
            states = {"language": export_state_dict(self.model.language)}
        save_components(self.model, str(folder), states)
        self.full_state_dict = None


def sums_of(loss: LanguageLoss) -> Tensor:
    """Sums and counts (2, 6) of SUMS, without gradients."""
    kinds = torch.stack([loss.text, loss.draw, loss.text_tokens, loss.draw_tokens]).detach().float()
    return torch.cat([kinds.view(2, len(KINDS)), loss.by_task], dim=1)


def means(prefix: str, sums: Tensor) -> dict[str, float]:
    """Means by token, from sums and counts (2, 6) of SUMS, of those that there are tokens of."""
    told = zip(SUMS, *sums.tolist(), strict=True)
    return {prefix + name: total / tokens for name, total, tokens in told if tokens}
