"""Stage `detokenizer`: from reconstructed features to pixels; first the stem, then diffusion on what it leaves open."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from lightning_modules.batch import ImageBatch
from lightning_modules.optimization import adamw
from lightning_modules.predecessor import parts_of
from models.detokenizer.diffusion import DiffusionDetokenizer, to_pixels
from models.recipe import build
from models.unified import Illume


class DetokenizerModule(L.LightningModule):
    """The detokenizer on a frozen encoder and tokenizer.

    Args:
        tokenizer: model folder that holds encoder and tokenizer.
        detokenizer: sizes of the detokenizer.
        stem_steps: steps in which the stem alone learns; it is frozen after them.
        stem_lr, lr: learning rates of stem and UNet, each with a cosine over its own steps.
        ema: decay of the running mean of the UNet's weights, which is what is exported.
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
    ) -> None:
        super().__init__()
        self.folder, self.sizes, self.stem_steps = tokenizer, detokenizer or {}, stem_steps
        self.stem_lr, self.lr, self.warmup_steps, self.ema_decay = stem_lr, lr, warmup_steps, ema
        self.detokenizer: DiffusionDetokenizer | None = None
        self.automatic_optimization = False

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
        sizes = {
            "image_size": self.encoder.image_size,
            "feature_width": self.encoder.width,
            "grid": self.encoder.grid,
        }
        self.detokenizer = build(DiffusionDetokenizer, sizes | self.sizes, "model.init_args.detokenizer")
        self.ema = torch.optim.swa_utils.AveragedModel(
            self.detokenizer.unet, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(self.ema_decay)
        )
        if self.detokenizer.stem is None:
            self.stem_steps = 0

    def train(self, mode: bool = True) -> "DetokenizerModule":
        """Encoder and tokenizer stay as they are."""
        super().train(mode)
        if self.detokenizer is not None:
            self.encoder.eval()
            self.tokenizer.eval()
        return self

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return self.tokenizer.decode(self.tokenizer.encode(self.encoder(images)))

    def training_step(self, batch: ImageBatch) -> None:
        """One step of the stem, or one of the UNet."""
        features, pixels = self._features(batch.images), to_pixels(batch.images)
        optimizers, schedules = self.optimizers(), self.lr_schedulers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        schedules = schedules if isinstance(schedules, list) else [schedules]
        stem = self.global_step < self.stem_steps
        which = 0 if stem else -1
        loss = (
            self.detokenizer.stem.loss(features, pixels) if stem else self.detokenizer.loss(features, pixels)
        )
        optimizers[which].zero_grad()
        self.manual_backward(loss)
        optimizers[which].step()
        schedules[which].step()
        if not stem:
            self.ema.update_parameters(self.detokenizer.unet)
        self.log_dict(
            {"train/loss": loss, f"train/loss_{'stem' if stem else 'diffusion'}": loss}, prog_bar=True
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips, after the callbacks have seen the gradients as they came."""
        self.clip_gradients(optimizer, 1.0, "norm")

    def validation_step(self, batch: ImageBatch, batch_index: int) -> None:
        """Both losses on the fixed validation set, with fixed noise."""
        features, pixels = self._features(batch.images), to_pixels(batch.images)
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        size = len(batch.images)
        if self.detokenizer.stem is not None:
            self.log(
                "val/loss_stem", self.detokenizer.stem.loss(features, pixels), prog_bar=True, batch_size=size
            )
        self.log(
            "val/loss_diffusion",
            self.detokenizer.loss(features, pixels, generator),
            prog_bar=True,
            batch_size=size,
        )

    def items_in_batch(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.images)

    def configure_optimizers(self) -> list[dict[str, Any]]:
        """One AdamW for the stem, one for the rest."""
        model, total = self.detokenizer, self.trainer.max_steps
        rest = [*model.condition.parameters(), *model.unet.parameters()]
        both = [adamw({"unet": rest}, {"unet": self.lr}, total - self.stem_steps, self.warmup_steps)]
        if model.stem is not None:
            stem = {"stem": list(model.stem.parameters())}
            both.insert(0, adamw(stem, {"stem": self.stem_lr}, self.stem_steps, self.warmup_steps))
        return both

    def export(self, folder: str) -> None:
        """Writes encoder, tokenizer and the averaged detokenizer."""
        self.detokenizer.unet.load_state_dict(self.ema.module.state_dict())
        model = Illume(encoder=self.encoder, tokenizer=self.tokenizer, detokenizer=self.detokenizer)
        model.save_pretrained(folder)
