"""Stage `pixel_tokenizer` (for figure 6): encoder, codebook and decoder learn together to rebuild pixels."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.batch import ImageBatch
from lightning_modules.optimization import RunLength, adamw
from lightning_modules.predecessor import encoder_of
from lightning_modules.tokenizer import TokenizerModule
from models.component_config import build
from models.detokenizer.diffusion import to_pixels
from models.detokenizer.pixel import PixelDecoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.quantizer import Quantized
from models.unified import Illume


class PixelTokenizerModule(TokenizerModule):
    """The pixel tokenizer and its decoder, from nothing; settings and codebook measures are the semantic one's.

    The encoder of the folder teaches nothing here: it gives its sizes, and goes into the model folder for what is seen.

    Args:
        encoder: model folder that holds the encoder.
        tokenizer: sizes of the tokenizer that are not the encoder's.
        lr: learning rate of tokenizer and decoder.
        warmup_steps: of the schedule.
        pixel_weight: weight of the pixel loss beside the quantizer's, whose pull would else shrink the encoder's
            outputs together (assumed).
    """

    def __init__(
        self,
        encoder: str,
        tokenizer: dict[str, Any] | None = None,
        lr: float = 2e-3,
        warmup_steps: int = 50,
        pixel_weight: float = 10.0,
    ) -> None:
        super().__init__(encoder, tokenizer, lr, warmup_steps)
        self.pixel_weight = pixel_weight

    def configure_model(self) -> None:
        """Loads the encoder and builds the rest at its sizes, once."""
        if self.tokenizer is not None:
            return
        encoder = encoder_of(self, self.given)
        self.encoder = encoder.eval().requires_grad_(False)
        self.tokenizer = build(
            PixelTokenizer, encoder._hub_mixin_config | self.sizes, "model.init_args.tokenizer"
        )
        self.detokenizer = PixelDecoder(encoder.width, encoder.grid)

    def _losses(self, batch: ImageBatch) -> tuple[Tensor, Quantized]:
        """Mean absolute error of pixels in -1 to 1, and what the codebook made of the images."""
        quantized = self.tokenizer(batch.images)
        return self.detokenizer.loss(quantized.vectors, to_pixels(batch.images)), quantized

    def training_step(self, batch: ImageBatch) -> Tensor:
        """Weighted pixel loss plus quantizer loss."""
        pixel, quantized = self._losses(batch)
        total = self.pixel_weight * pixel + quantized.loss
        self.log_dict({"train/loss": total, "train/loss_pixel": pixel}, prog_bar=True, sync_dist=True)
        return total

    def validation_step(self, batch: ImageBatch) -> None:
        """Pixel loss on the fixed validation set."""
        pixel, quantized = self._losses(batch)
        self.counts += torch.bincount(quantized.codes.flatten(), minlength=self.tokenizer.codes)
        self.log("val/loss_pixel", pixel, prog_bar=True, batch_size=len(batch.images), sync_dist=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW over tokenizer and decoder."""
        parts = {"tokenizer": self.tokenizer.parameters(), "decoder": self.detokenizer.parameters()}
        rates = dict.fromkeys(parts, self.lr)
        return adamw(parts, rates, RunLength(self.trainer), self.warmup_steps)

    def export(self, folder: str) -> None:
        """Writes the encoder of what is seen, the tokenizer and its decoder."""
        model = Illume(encoder=self.encoder, tokenizer=self.tokenizer, detokenizer=self.detokenizer)
        model.save_pretrained(folder)
