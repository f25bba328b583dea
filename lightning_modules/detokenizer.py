"""Stage `detokenizer`: from reconstructed features to pixels; first the stem, then diffusion on what it leaves open.

Stable Diffusion has no stem, and starts from a published folder.
"""

import json
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from common.files import write_text
from common.json_files import read_object
from lightning_modules.batch import ImageBatch, coded
from lightning_modules.optimization import RunLength, adamw
from lightning_modules.predecessor import PLANNED, parts_of
from models.component_config import build
from models.detokenizer.diffusion import DiffusionDetokenizer, to_pixels
from models.detokenizer.stable_diffusion import IMAGE_SIZE, StableDiffusionDetokenizer
from models.image_input import ImageInput
from models.precision import frozen_features
from models.unified import Illume


class DetokenizerModule(L.LightningModule):
    """The detokenizer on a frozen encoder and tokenizer.

    Without a stem there is one optimizer, which Lightning steps, so that it can accumulate gradients.

    Args:
        tokenizer: model folder that holds encoder and tokenizer.
        detokenizer: sizes of the `DiffusionDetokenizer`; with `from: FOLDER_OR_NAME` among them, a
            `StableDiffusionDetokenizer` from there, and its settings.
        stem_steps: steps in which the stem alone learns; it is frozen after them.
        stem_lr, lr: learning rates of stem and UNet, each with a cosine over its own steps.
        ema: decay of the running mean of the UNet's weights, which is what is exported; 0: none is kept (at SDXL's size
            it takes 10 GB).
        learns: all of the UNet, or of Stable Diffusion's only the attention layers and those the condition enters by.
        gradient_checkpointing: whether the UNet's activations are made anew in the backward pass.
    """

    items_name = "images"  # what the progress line counts

    def __init__(
        self,
        tokenizer: str,
        detokenizer: dict[str, Any] | None = None,
        stem_steps: int = 1000,
        stem_lr: float = 2e-3,
        lr: float = 1.5e-3,
        warmup_steps: int = 50,
        ema: float = 0.99,
        learns: Literal["all", "attention"] = "all",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.folder, self.sizes, self.stem_steps = tokenizer, detokenizer or {}, stem_steps
        self.stem_lr, self.lr, self.warmup_steps, self.ema_decay = stem_lr, lr, warmup_steps, ema
        self.learns, self.gradient_checkpointing = learns, gradient_checkpointing
        self.detokenizer: DiffusionDetokenizer | StableDiffusionDetokenizer | None = None
        self.ema: torch.optim.swa_utils.AveragedModel | None = None
        self.automatic_optimization = "from" in self.sizes or not self.sizes.get("stem", True)

    def configure_model(self) -> None:
        """Loads encoder and tokenizer and builds the detokenizer, once."""
        if self.detokenizer is not None:
            return
        parts = parts_of(self, self.folder, "encoder", "tokenizer")
        if parts["tokenizer"].reads != "features":
            raise ValueError(
                f"{self.folder} holds a pixel tokenizer, which brings a decoder of its own: "
                "this stage starts from a semantic tokenizer's folder"
            )
        self.encoder = parts["encoder"].eval().requires_grad_(False)
        self.tokenizer = parts["tokenizer"].eval().requires_grad_(False)
        self._check_sizes()
        self.detokenizer = self._new_detokenizer()
        if self.learns == "attention":
            self.detokenizer.learn_attention_alone()
        if self.gradient_checkpointing:
            self.detokenizer.unet.enable_gradient_checkpointing()
        if self.ema_decay:
            average = torch.optim.swa_utils.get_ema_multi_avg_fn(self.ema_decay)
            self.ema = torch.optim.swa_utils.AveragedModel(self.detokenizer.unet, multi_avg_fn=average)
            self.ema.requires_grad_(False)  # else DDP would wait for its gradients
        if self.detokenizer.stem is None:
            self.stem_steps = 0

    @property
    def code_input(self) -> ImageInput:
        """How images come to the encoder, for the datamodule: as wherever codes are made."""
        return ImageInput(self.encoder.image_size)

    def _check_sizes(self) -> None:
        """Makes sure that the recipe and the data are of the sizes of the encoder, before anything is loaded."""
        stable = "from" in self.sizes
        if self.learns == "attention" and not stable:
            raise ValueError("model.init_args.learns: attention is for a detokenizer `from` Stable Diffusion")
        for name, theirs in (("feature_width", self.encoder.width), ("grid", self.encoder.grid)):
            if self.sizes.get(name, theirs) != theirs:
                raise ValueError(
                    f"model.init_args.detokenizer.{name} is {self.sizes[name]}, the encoder's in {self.folder} is "
                    f"{theirs}: leave it out"
                )
        size = self.sizes.get("image_size", IMAGE_SIZE if stable else self.encoder.image_size)
        data = getattr(self._trainer and self._trainer.datamodule, "image_size", size)
        if data != size:
            raise ValueError(
                f"the data's images are {data} x {data}, the detokenizer makes {size} x {size}: "
                f"set data.init_args.image_size to {size}"
            )

    def _new_detokenizer(self) -> DiffusionDetokenizer | StableDiffusionDetokenizer:
        sizes = {"feature_width": self.encoder.width, "grid": self.encoder.grid} | self.sizes
        where = "model.init_args.detokenizer"
        if "from" not in sizes:
            return build(DiffusionDetokenizer, {"image_size": self.encoder.image_size} | sizes, where)
        if (planned := PLANNED.get()) is not None:
            source = planned.source(sizes.pop("from"))
            return StableDiffusionDetokenizer.from_diffusers(source, weights=False, **sizes)
        trainer = self._trainer
        kept = Path(trainer.default_root_dir) / "predecessors" / "detokenizer.json" if trainer else None
        if kept and trainer.ckpt_path and kept.is_file():  # the weights are in the checkpoint
            return StableDiffusionDetokenizer.empty(read_object(kept), str(kept))
        made = StableDiffusionDetokenizer.from_diffusers(sizes.pop("from"), **sizes)
        if kept and trainer.is_global_zero and not trainer.fast_dev_run:
            write_text(kept, json.dumps(made._hub_mixin_config, indent=2) + "\n")
        return made

    def train(self, mode: bool = True) -> "DetokenizerModule":
        """Encoder and tokenizer stay as they are."""
        super().train(mode)
        if self.detokenizer is not None:
            self.encoder.eval()
            self.tokenizer.eval()
        return self

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return self.tokenizer.decode(self.tokenizer.encode(frozen_features(self.encoder, images)))

    def training_step(self, batch: ImageBatch) -> Tensor | None:
        """The loss of the UNet for Lightning to step; with a stem, one step of it or of the UNet."""
        features, pixels = self._features(coded(batch)), to_pixels(batch.images)
        stem = self.global_step < self.stem_steps
        loss = (
            self.detokenizer.stem.loss(features, pixels) if stem else self.detokenizer.loss(features, pixels)
        )
        names = "train/loss", f"train/loss_{'stem' if stem else 'diffusion'}"
        self.log_dict(dict.fromkeys(names, loss), prog_bar=True, sync_dist=True)
        if self.automatic_optimization:
            return loss
        which = 0 if stem else -1
        optimizer, schedule = self.optimizers()[which], self.lr_schedulers()[which]
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
            self.ema.update_parameters(self.detokenizer.unet)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips, after the callbacks have seen the gradients as they came."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Both losses on the fixed validation set, with fixed noise."""
        features, pixels = self._features(coded(batch)), to_pixels(batch.images)
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        losses = {"val/loss_diffusion": self.detokenizer.loss(features, pixels, generator)}
        if self.detokenizer.stem is not None:
            losses["val/loss_stem"] = self.detokenizer.stem.loss(features, pixels)
        self.log_dict(losses, prog_bar=True, batch_size=len(batch.images), sync_dist=True)

    def items_in_batch(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.images)

    def configure_optimizers(self) -> list[dict[str, Any]]:
        """One AdamW for the stem, one for the rest."""
        model, total = self.detokenizer, RunLength(self.trainer, less=self.stem_steps)
        rest = [p for p in (*model.condition.parameters(), *model.unet.parameters()) if p.requires_grad]
        both = [adamw({"unet": rest}, {"unet": self.lr}, total, self.warmup_steps)]
        if model.stem is not None:
            stem = {"stem": list(model.stem.parameters())}
            both.insert(0, adamw(stem, {"stem": self.stem_lr}, self.stem_steps, self.warmup_steps))
        return both

    def export(self, folder: str) -> None:
        """Writes encoder, tokenizer and the averaged detokenizer; what is in training stays as it is."""
        own = self.detokenizer.unet
        try:
            if self.ema is not None:
                self.detokenizer.unet = self.ema.module
            model = Illume(encoder=self.encoder, tokenizer=self.tokenizer, detokenizer=self.detokenizer)
            model.save_pretrained(folder)
        finally:
            self.detokenizer.unet = own
