"""Stage `detokenizer`: from reconstructed features to pixels; first the stem, then diffusion on what it leaves open.

Stable Diffusion has no stem, and starts from a published folder.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common.files import write_text
from common.json_files import read_object
from lightning_modules.component_configs import DetokenizerConfig
from lightning_modules.optimization import RunLength, build_optimizer
from lightning_modules.stage_module import ImageBatch, ImageStage
from models.component_config import build
from models.detokenizer.diffusion import DiffusionDetokenizer, to_pixels
from models.detokenizer.stable_diffusion import IMAGE_SIZE, StableDiffusionDetokenizer
from models.image_input import ImageInput
from models.precision import frozen_features
from models.tokenizer.encoder import VisionEncoder
from models.unified import Illume


class DetokenizerModule(ImageStage):
    """The detokenizer on a frozen encoder and tokenizer.

    Without a stem there is one optimizer, which Lightning steps, so that it can accumulate gradients.

    Args:
        tokenizer: model folder that holds encoder and tokenizer.
        detokenizer: its settings; with a `path`, those of a published Stable Diffusion.
        stem_steps: steps in which the stem alone learns; it is frozen after them.
        stem_lr: learning rate of the stem, with a cosine over its own steps.
        lr: learning rate of the UNet, the same.
        warmup_steps: of both schedules.
        ema: decay of the running mean of the UNet's weights, which is what is exported; 0: none is kept (at SDXL's size
            it takes 10 GB).
        learns: all of the UNet, or of Stable Diffusion's only the attention layers and those the condition enters by.
        gradient_checkpointing: whether the UNet's activations are recomputed in the backward pass.
    """

    trains = ("detokenizer",)

    def __init__(
        self,
        tokenizer: str,
        detokenizer: DetokenizerConfig | None = None,
        stem_steps: int = 1000,
        stem_lr: float = 2e-3,
        lr: float = 1.5e-3,
        warmup_steps: int = 50,
        ema: float = 0.99,
        learns: Literal["all", "attention"] = "all",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.folder, self.config, self.stem_steps = tokenizer, detokenizer or DetokenizerConfig(), stem_steps
        self.stem_lr, self.lr, self.warmup_steps, self.ema_decay = stem_lr, lr, warmup_steps, ema
        self.learns, self.gradient_checkpointing = learns, gradient_checkpointing
        self.automatic_optimization = self.config.path is not None or self.config.stem is False

    def build_model(self) -> None:
        """Loads encoder and tokenizer and builds the detokenizer."""
        components = self.predecessors.load(self, self.folder, "encoder", "tokenizer")
        if components["tokenizer"].reads != "features":
            raise ValueError(
                f"{self.folder} holds a pixel tokenizer, which brings a decoder of its own: "
                "this stage starts from a semantic tokenizer's folder"
            )
        for frozen in components.values():
            frozen.eval().requires_grad_(False)
        self._check_sizes(components["encoder"])
        detokenizer: Any = self._new_detokenizer(components["encoder"])
        if self.learns == "attention":
            detokenizer.train_attention_only()
        if self.gradient_checkpointing:
            detokenizer.unet.enable_gradient_checkpointing()
        if self.ema_decay:
            average = get_ema_multi_avg_fn(self.ema_decay)
            self.ema = AveragedModel(detokenizer.unet, multi_avg_fn=average)
            self.ema.requires_grad_(False)  # else DDP would wait for its gradients
        if detokenizer.stem is None:
            self.stem_steps = 0
        self.model = Illume(**components, detokenizer=detokenizer)

    @property
    def code_input(self) -> ImageInput:
        """How images come to the encoder, for the datamodule: as wherever codes are made."""
        return self.model.code_input

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The stem's first step, and the UNet's."""
        return (0, self.stem_steps) if self.stem_steps else (0,)

    def _check_sizes(self, encoder: VisionEncoder) -> None:
        """Makes sure that settings and data are of the sizes of the encoder, before anything is loaded."""
        stable, given = self.config.path is not None, self.config.given
        if self.learns == "attention" and not stable:
            raise ValueError(
                "model.init_args.learns: attention is for published Stable Diffusion: give detokenizer.path"
            )
        for name, theirs in (("feature_width", encoder.width), ("grid", encoder.grid)):
            if given.get(name, theirs) != theirs:
                raise ValueError(
                    f"model.init_args.detokenizer.{name} is {given[name]}, the encoder's in {self.folder} is "
                    f"{theirs}: leave it out"
                )
        size = given.get("image_size", IMAGE_SIZE if stable else encoder.image_size)
        self.check_image_size(size, "detokenizer makes")

    def _new_detokenizer(self, encoder: VisionEncoder) -> DiffusionDetokenizer | StableDiffusionDetokenizer:
        sizes = {"feature_width": encoder.width, "grid": encoder.grid} | self.config.settings
        if self.config.path is None:
            sizes = {"image_size": encoder.image_size} | sizes
            return build(DiffusionDetokenizer, sizes, "model.init_args.detokenizer")
        source, weights = self.predecessors.locate(self.config.path), self.predecessors.weights
        trainer: Any = self._trainer
        run = getattr(trainer, "default_root_dir", None)  # None where a module is used alone, and in a plan
        kept = Path(run) / "predecessors" / "detokenizer.json" if run else None
        if kept and trainer.ckpt_path and kept.is_file():  # the weights are in the checkpoint
            return StableDiffusionDetokenizer.empty(read_object(kept), str(kept))
        made = StableDiffusionDetokenizer.from_diffusers(source, weights=weights, **sizes)
        if kept and weights and trainer.is_global_zero and not trainer.fast_dev_run:
            write_text(kept, json.dumps(made.config, indent=2) + "\n")
        return made

    def _inputs(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Rebuilt features (B, N, D), and pixels (B, 3, H, W) in -1 to 1."""
        coded = batch.images if batch.code_images is None else batch.code_images
        return self.features(coded), to_pixels(batch.images)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features that the tokenizer rebuilds from its codes: (B, 3, H, W) uint8 -> (B, N, D)."""
        codes = self.model.tokenizer.encode(frozen_features(self.model.encoder, images))
        return self.model.tokenizer.decode(codes)

    def loss(self, batch: ImageBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The stem's loss in its steps, then the UNet's."""
        stem = self.global_step < self.stem_steps
        network = self.model.detokenizer.stem if stem else self.model.detokenizer
        loss = network.loss(*self._inputs(batch))
        return loss, {"loss": loss, "loss_stem" if stem else "loss_diffusion": loss}

    def training_step(self, batch: ImageBatch) -> Tensor | None:
        """The loss for Lightning to step; with a stem, one step of it or of the UNet."""
        stem = self.global_step < self.stem_steps
        loss: Any = super().training_step(batch)
        if self.automatic_optimization:
            return loss
        which = 0 if stem else -1
        optimizers: Any = self.optimizers()
        schedules: Any = self.lr_schedulers()
        optimizer, schedule = optimizers[which], schedules[which]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()
        if not stem:
            self._average()
        return None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step that Lightning takes."""
        super().optimizer_step(*args, **kwargs)
        self._average()

    def _average(self) -> None:
        if self.ema is not None:
            self.ema.update_parameters(self.model.detokenizer.unet)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips, after the callbacks have seen the gradients as they came."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Both losses on the fixed validation set, with fixed noise."""
        detokenizer = self.model.detokenizer
        features, pixels = self._inputs(batch)
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        losses = {"loss_diffusion": detokenizer.loss(features, pixels, generator)}
        if detokenizer.stem is not None:
            losses["loss_stem"] = detokenizer.stem.loss(features, pixels)
        self.log_losses("val", batch, **losses)

    def configure_optimizers(self) -> list[OptimizerLRSchedulerConfig]:
        """One AdamW for the stem, one for the rest."""
        model, total = self.model.detokenizer, RunLength(self.trainer, less=self.stem_steps)
        rest = [p for p in (*model.condition.parameters(), *model.unet.parameters()) if p.requires_grad]
        both = [build_optimizer({"unet": rest}, {"unet": self.lr}, total, self.warmup_steps)]
        if model.stem is not None:
            stem = {"stem": list(model.stem.parameters())}
            both.insert(0, build_optimizer(stem, {"stem": self.stem_lr}, self.stem_steps, self.warmup_steps))
        return both

    def export(self, folder: str | Path) -> None:
        """Writes encoder, tokenizer and the averaged detokenizer; what trains stays as it is."""
        detokenizer = self.model.detokenizer
        own = detokenizer.unet
        try:
            if self.ema is not None:
                detokenizer.unet = self.ema.module
            super().export(folder)
        finally:
            detokenizer.unet = own
