"""Stages `language` and 1 to 3: one module; what differs is in YAML (where it starts, what learns, how fast).

ILLUME's table 5: stage 1 trains the adapter and the vision rows, stage 2 the adapter and the language model, stage 3
everything, the vision encoder for understanding among it. `language` (playground only) reads text alone, from
scratch, and stands in for Vicuna.
"""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lightning_modules.component_configs import (
    LanguageConfig,
    LoRAConfig,
    TextTokenizerConfig,
    UnderstandingConfig,
)
from lightning_modules.language_start import (
    check_overrides,
    enable_gradient_checkpointing,
    join_components,
    start_components,
)
from lightning_modules.optimization import RunLength, build_optimizer, freeze_except
from lightning_modules.predecessor import loads_from_checkpoint
from lightning_modules.stage_module import StageModule
from lightning_modules.token_means import KINDS, SUMS, token_means, token_sums
from models import sharding
from models.language.lora import add_lora, check_peft
from models.language.weight_dtypes import (
    FrozenDtype,
    check_frozen_dtype,
    export_state_dict,
    half_dtypes,
    set_weight_dtypes,
)
from models.model_folder import save_components
from models.sequence import PackedBatch
from models.slices import Slicing
from models.weights import materialize

LOSS_SCALE = 4096.0  # tokens that the summed loss is divided by at first, so that half precision can hold its gradients


class LanguageModule(StageModule):
    """The unified language model on documents.

    Args:
        learning_rates: by component, of those that learn: trunk, text, adapter, vision, understanding_encoder.
        start: model folder of each component that is there already; the key `all` takes every one of a folder.
        language: a new language model, from scratch or published, with its text tokenizer.
        text_tokenizer: one trained from scratch.
        warmup_steps: of the schedule.
        weight_decay: of both optimizers.
        text_weight: weight of the loss on text beside that on codes (1 in the paper).
        muon: components whose matrices Muon trains rather than AdamW (none in the paper); it wants them whole.
        codebook_rows: gives the vision rows the tokenizer's number of codes, laid out as its codebook is, for stage 1.
        understanding: size and reduction at which the encoder sees from here on.
        gradient_checkpointing: recomputes the trunk's activations in the backward pass.
        lora: low-rank additions to the trunk, which learn in its place; the model folder holds them merged.
        slicing: how images are sliced from here on (stage 3 in the paper); `image_size` of the data must be its size.
        generation: how the model draws, edits and writes, laid over its predecessor's (`models/generation.py`).
        prompts: wording of the tasks: `playground`, `illume_plus`, or by task, laid over its predecessor's.
        frozen_dtype: type of the language model's frozen matrices; bfloat16 and float16 go with `precision: bf16-mixed`
            and halve their memory. What learns stays in float32, for updates would round away in a half, and so is the
            model folder.
    """

    items_name = "tokens"
    start_setting = "model.init_args.start"
    window: Tensor  # sums and counts (2, 6) since the last step

    def __init__(
        self,
        learning_rates: dict[str, float],
        start: dict[str, str],
        language: LanguageConfig | None = None,
        text_tokenizer: TextTokenizerConfig | None = None,
        warmup_steps: int = 100,
        weight_decay: float = 0.0,
        text_weight: float = 1.0,
        muon: list[str] | None = None,
        codebook_rows: bool = False,
        understanding: UnderstandingConfig | None = None,
        gradient_checkpointing: bool = False,
        lora: LoRAConfig | None = None,
        slicing: Slicing | None = None,
        generation: dict[str, dict[str, int | float] | int | float] | None = None,
        prompts: str | dict[str, str] | None = None,
        frozen_dtype: FrozenDtype = "float32",
    ) -> None:
        super().__init__()
        check_frozen_dtype(frozen_dtype)
        check_overrides(generation, prompts)
        self.learning_rates, self.start, self.frozen_dtype = learning_rates, start, frozen_dtype
        self.language_config, self.text_tokenizer_config = language, text_tokenizer
        self.warmup_steps, self.weight_decay, self.text_weight = warmup_steps, weight_decay, text_weight
        self.muon, self.codebook_rows, self.understanding = muon or [], codebook_rows, understanding
        self.gradient_checkpointing, self.lora, self.slicing = gradient_checkpointing, lora, slicing
        self.generation, self.prompts = generation, prompts
        self.full_state_dict: dict[str, Tensor] | None = (
            None  # of a sharded language model, while it is exported
        )

    def build_model(self) -> None:
        """Loads what is there and builds the rest; shards the language model where the strategy has a mesh."""
        mesh = self.device_mesh
        trainer: Any = self._trainer
        if mesh is not None:
            self.check_shardable()
        check_frozen_dtype(self.frozen_dtype, trainer and trainer.precision, mesh is not None)
        self.assemble()
        freeze_except(self.learning_rates, self.param_groups())
        if mesh is None:
            set_weight_dtypes(self.model.language, self.frozen_dtype)
            return
        half = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else None
        sharding.shard(self.model.language, mesh["data_parallel"], half)
        if loads_from_checkpoint(self):
            materialize(self.model, self.trainer.strategy.root_device)

    def assemble(self) -> None:
        """Makes `model` of the components that are there and those that are new."""
        if self.lora is not None:
            check_peft()
        encoder_learns = self.learning_rates.get("understanding_encoder", 0) > 0
        new = self.text_tokenizer_config, self.language_config
        components = start_components(self, self.start, *new, self.generation, self.prompts)
        self.model = join_components(
            components, self.codebook_rows, encoder_learns, self.understanding, self.slicing
        )
        if self.lora is not None:
            add_lora(self.model.language, self.lora.given)
        if self.gradient_checkpointing:
            enable_gradient_checkpointing(self.model, encoder_learns)

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

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that may learn, by component, as ILLUME's table 5 has them."""
        groups = self.model.language.param_groups()
        if self.model.understanding_encoder is not None:
            groups["understanding_encoder"] = list(self.model.understanding_encoder.parameters())
        return groups

    @property
    def fingerprints(self) -> dict[str, str]:
        """What precomputed codes and features must bear; features are of no use where their encoder learns."""
        model, found = self.model, {}
        if model.tokenizer is not None:
            found["codes"] = model.fingerprint("encoder", "tokenizer")
        if model.encoder is not None and model.understanding_encoder is None:
            found["features"] = model.fingerprint("encoder")
        return found

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
        return self.text_weight * loss.text + loss.draw, {"sums": token_sums(loss)}

    def training_step(self, batch: PackedBatch) -> Tensor:
        """Next-token loss; its gradients become means per target token in `on_before_optimizer_step`."""
        total, logged = self.loss(batch)
        self.window = self.window + logged["sums"]
        return total * self.trainer.accumulate_grad_batches / LOSS_SCALE  # by which Lightning divides

    def _is_logged(self) -> bool:
        """Whether this step is logged: looking at counts makes the host wait for the device."""
        trainer: Any = self.trainer
        every = trainer.log_every_n_steps
        return every > 0 and (trainer.global_step + 1) % every == 0

    def on_train_start(self) -> None:
        """An empty window."""
        self.window = torch.zeros(2, len(SUMS), dtype=torch.float, device=self.device)

    def _joint_window(self) -> Tensor:
        """Sums and counts (2, 6) since the last step, over all ranks."""
        return self.trainer.strategy.reduce(self.window.clone(), reduce_op="sum")

    def gradient_factor(self, window: Tensor | None = None) -> Tensor:
        """By which gradients of the summed loss become means per target token, over all ranks."""
        window = self._joint_window() if window is None else window
        tokens = window[1, : len(KINDS)].sum().clamp_min(1)
        return LOSS_SCALE * self.trainer.world_size / tokens  # data parallelism averages over ranks

    def _mean_loss(self, window: Tensor) -> Tensor:
        """The loss per target token, of sums and counts (2, 6)."""
        (text, draw), tokens = window[:, : len(KINDS)]
        return (self.text_weight * text + draw) / tokens.sum().clamp_min(1)

    def on_after_backward(self) -> None:
        """Averages the gradients of what is not sharded, which the strategy leaves to us, at the end of a window."""
        if self.device_mesh is not None and not self.trainer.fit_loop._should_accumulate():
            sharding.average_gradients(self.parameters())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides the gradients by all target tokens since the last step, on all ranks.

        So a token counts the same in whatever micro-batch or rank it came; a mean of means would not do that.
        """
        window = self._joint_window()
        factor = self.gradient_factor(window)
        for parameter in self.parameters():
            if parameter.grad is not None:
                sharding.local_shard(parameter.grad).mul_(factor)
        self.log("train/loss", self._mean_loss(window), prog_bar=True)
        if self._is_logged():
            # `self.log` would repeat the last value of a task, or of text or codes, in steps that have none of it
            named = token_means("train/", window)
            for logger in self.loggers:
                logger.log_metrics(named, step=self.trainer.global_step)
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
        """Resets the sums."""
        self.sums = torch.zeros(2, len(SUMS), dtype=torch.float, device=self.device)

    def validation_step(self, batch: PackedBatch) -> None:
        """The same loss on the fixed validation set."""
        self.sums += self.loss(batch)[1]["sums"]

    def on_validation_epoch_end(self) -> None:
        """Means per token, over all ranks."""
        sums = self.trainer.strategy.reduce(self.sums, reduce_op="sum")
        self.log("val/loss", self._mean_loss(sums))
        named = token_means("val/", sums)
        shown = {f"val/{name}" for name in SUMS[: len(KINDS)]}
        self.log_dict({name: mean for name, mean in named.items() if name in shown}, prog_bar=True)
        self.log_dict({name: mean for name, mean in named.items() if name not in shown})

    def transfer_batch_to_device(self, batch: PackedBatch, device: torch.device, *_: int) -> PackedBatch:
        """Moves a packed batch."""
        return batch.to(device, non_blocking=True)

    def items_in_batch(self, batch: PackedBatch) -> Tensor:
        """Tokens, padding not counted; on the device, so that nobody has to wait for it."""
        return (batch.documents >= 0).sum()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, or Muon, with a learning rate for each component."""
        steps = RunLength(self.trainer), self.warmup_steps
        return build_optimizer(
            self.param_groups(), self.learning_rates, *steps, self.weight_decay, muon=self.muon
        )

    def gather(self) -> None:
        """Brings a sharded model's weights to the first process, for `export`; every process must call it."""
        if sharding.is_sharded(self.model.language):
            self.full_state_dict = sharding.full_state_dict(self.model.language)

    def export(self, folder: str | Path) -> None:
        """Writes every component that is there; `gather` comes first."""
        states = {} if self.full_state_dict is None else {"language": self.full_state_dict}
        if half_dtypes(self.model.language):
            states = {"language": export_state_dict(self.model.language)}
        save_components(self.model, str(folder), states)
        self.full_state_dict = None
