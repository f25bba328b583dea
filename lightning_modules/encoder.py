"""Stage `encoder` (playground only): a vision encoder learns to see from captions, standing in for UNIT."""

from typing import Any

import lightning as L
from torch import Tensor

from lightning_modules.batch import ImageBatch
from lightning_modules.optimization import RunLength, adamw
from lightning_modules.predecessor import parts_of
from models.component_config import build
from models.language.text_tokenizer import text_rows
from models.tokenizer.captioner import Captioner
from models.tokenizer.encoder import VisionEncoder
from models.unified import Illume


class EncoderModule(L.LightningModule):
    """Encoder and captioner, trained together on detailed captions.

    Args:
        language: model folder whose text tokenizer spells the captions.
        encoder: sizes of the encoder.
        lr: learning rate.
        warmup_steps: of the schedule.
        weight_decay: of AdamW.
    """

    items_name = "images"  # what the progress line counts

    def __init__(
        self,
        language: str,
        encoder: dict[str, Any] | None = None,
        lr: float = 1.5e-3,
        warmup_steps: int = 100,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__()
        self.language, self.sizes, self.lr = language, encoder or {}, lr
        self.warmup_steps, self.weight_decay = warmup_steps, weight_decay
        self.encoder: VisionEncoder | None = None

    def configure_model(self) -> None:
        """Builds both networks, once."""
        if self.encoder is not None:
            return
        self.text_tokenizer = parts_of(self, self.language, "text_tokenizer")["text_tokenizer"]
        self.encoder = build(VisionEncoder, self.sizes, "model.init_args.encoder")
        self.captioner = Captioner(text_rows(self.text_tokenizer), self.encoder.width)

    def _step(self, batch: ImageBatch, name: str) -> Tensor:
        loss, right = self.captioner.loss(self.encoder(batch.images), batch.captions)
        self.log_dict(
            {f"{name}/loss": loss, f"{name}/caption_accuracy": right},
            prog_bar=True,
            batch_size=len(batch.images),
            sync_dist=True,
        )
        return loss

    def training_step(self, batch: ImageBatch) -> Tensor:
        """Caption loss."""
        return self._step(batch, "train")

    def validation_step(self, batch: ImageBatch) -> None:
        """Caption loss on the fixed validation set."""
        self._step(batch, "val")

    def items_in_batch(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.images)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW over both."""
        parts = {"encoder": self.encoder.parameters(), "captioner": self.captioner.parameters()}
        rates = {"encoder": self.lr, "captioner": self.lr}
        return adamw(parts, rates, RunLength(self.trainer), self.warmup_steps, self.weight_decay)

    def export(self, folder: str) -> None:
        """Writes the encoder; the captioner has done its work."""
        Illume(encoder=self.encoder).save_pretrained(folder)
