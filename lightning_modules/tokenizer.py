"""Stage `tokenizer`: codebook and feature decoder learn to rebuild the frozen encoder's features."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from lightning_modules.batch import ImageBatch
from lightning_modules.optimization import RunLength, adamw
from lightning_modules.predecessor import encoder_of
from models.component_config import build
from models.precision import frozen_features
from models.tokenizer.quantizer import perplexity
from models.tokenizer.semantic import SemanticTokenizer
from models.tokenizer.views import another_view
from models.unified import Illume


class TokenizerModule(L.LightningModule):
    """The semantic tokenizer on a frozen encoder.

    Args:
        encoder: model folder that holds the encoder, or the recipe of a published one: `{from: NAME, image_size: 224}`.
        tokenizer: sizes of the tokenizer.
        lr: learning rate.
        warmup_steps: of the schedule.
        view_weight: weight of the pull that gives two views of an image, in other light and grain, the same codes
            (0 in the paper, as far as it is published).
    """

    items_name = "images"  # what the progress line counts

    def __init__(
        self,
        encoder: str | dict[str, Any],
        tokenizer: dict[str, Any] | None = None,
        lr: float = 2e-3,
        warmup_steps: int = 50,
        view_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.given, self.sizes, self.lr, self.warmup_steps = encoder, tokenizer or {}, lr, warmup_steps
        self.view_weight = view_weight
        self.tokenizer: SemanticTokenizer | None = None

    def configure_model(self) -> None:
        """Loads the encoder and builds the tokenizer, once."""
        if self.tokenizer is not None:
            return
        self.encoder = encoder_of(self, self.given).eval().requires_grad_(False)
        takes = self.encoder.image_size
        if (size := getattr(self._trainer and self._trainer.datamodule, "image_size", takes)) != takes:
            raise ValueError(
                f"the data's images are {size} x {size}, the encoder takes {takes} x {takes}: "
                f"set data.init_args.image_size to {takes}"
            )
        sizes = {"feature_width": self.encoder.width, "tokens": self.encoder.tokens} | self.sizes
        self.tokenizer = build(SemanticTokenizer, sizes, "model.init_args.tokenizer")

    def train(self, mode: bool = True) -> "TokenizerModule":
        """The encoder stays as it is."""
        super().train(mode)
        if self.tokenizer is not None:
            self.encoder.eval()
        return self

    def training_step(self, batch: ImageBatch) -> Tensor:
        """Feature loss plus quantizer loss, and the distance of views where it has a weight."""
        features = frozen_features(self.encoder, batch.images)
        loss = self.tokenizer(features)
        total = loss.total
        if self.view_weight:
            others = frozen_features(self.encoder, another_view(batch.images))
            total = total + self.view_weight * self.tokenizer.view_loss(features, others)
        self.log_dict(
            {"train/loss": total, "train/loss_feature": loss.feature}, prog_bar=True, sync_dist=True
        )
        return total

    def on_validation_epoch_start(self) -> None:
        """Counts codes anew."""
        self.counts = torch.zeros(self.tokenizer.codes, dtype=torch.long, device=self.device)

    def validation_step(self, batch: ImageBatch) -> None:
        """Feature loss on the fixed validation set."""
        loss = self.tokenizer(frozen_features(self.encoder, batch.images))
        self.counts += torch.bincount(loss.codes.flatten(), minlength=self.tokenizer.codes)
        size = len(batch.images)
        self.log("val/loss_feature", loss.feature, prog_bar=True, batch_size=size, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Codebook use over all ranks."""
        self.counts = self.trainer.strategy.reduce(self.counts, reduce_op="sum")
        used = (self.counts > 0).float().mean()
        self.log_dict({"val/codes_used": used, "val/perplexity": perplexity(self.counts)}, prog_bar=True)

    def items_in_batch(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.images)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW over the tokenizer."""
        parts = {"tokenizer": self.tokenizer.parameters()}
        return adamw(parts, {"tokenizer": self.lr}, RunLength(self.trainer), self.warmup_steps)

    def export(self, folder: str) -> None:
        """Writes encoder and tokenizer."""
        Illume(encoder=self.encoder, tokenizer=self.tokenizer).save_pretrained(folder)
