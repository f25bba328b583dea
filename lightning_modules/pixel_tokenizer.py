"""Stage `pixel_tokenizer` (for figure 6): encoder, codebook and decoder learn together to rebuild pixels."""

from typing import ClassVar

from torch import Tensor

from lightning_modules.component_configs import TokenizerConfig
from lightning_modules.stage_module import ImageBatch
from lightning_modules.tokenizer import TokenizerModule
from models.component_config import build
from models.detokenizer.diffusion import to_pixels
from models.detokenizer.pixel import PixelDecoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.semantic import TokenizerLoss
from models.unified import Illume


class PixelTokenizerModule(TokenizerModule):
    """The pixel tokenizer and its decoder, from scratch; settings and codebook measures are the semantic one's.

    The encoder of the folder teaches nothing here: it gives its sizes, and goes into the model folder for what is seen.

    Args:
        encoder: model folder that holds the encoder.
        tokenizer: sizes of the tokenizer that are not the encoder's.
        lr: learning rate of tokenizer and decoder.
        warmup_steps: of the schedule.
        pixel_weight: weight of the pixel loss beside the quantizer's, whose pull would else shrink the encoder's
            outputs together (assumed).
    """

    trains: ClassVar[tuple[str, ...]] = ("tokenizer", "detokenizer")
    measured = "loss_pixel"

    def __init__(
        self,
        encoder: str,
        tokenizer: TokenizerConfig | None = None,
        lr: float = 2e-3,
        warmup_steps: int = 50,
        pixel_weight: float = 10.0,
    ) -> None:
        super().__init__(encoder, tokenizer, lr, warmup_steps)
        self.pixel_weight = pixel_weight

    def build_model(self) -> None:
        """Loads the encoder and builds the rest at its sizes."""
        encoder = self.predecessors.load_encoder(self, self.encoder_config).eval().requires_grad_(False)
        sizes = encoder.config | self.config.given
        tokenizer = build(PixelTokenizer, sizes, "model.init_args.tokenizer")
        decoder = PixelDecoder(encoder.width, encoder.grid)
        self.model = Illume(encoder=encoder, tokenizer=tokenizer, detokenizer=decoder)

    def reconstruct(self, batch: ImageBatch) -> TokenizerLoss:
        """Weighted pixel loss (mean absolute error, pixels in -1 to 1) plus quantizer loss; the codes."""
        quantized = self.model.tokenizer(batch.images)
        pixel = self.model.detokenizer.loss(quantized.vectors, to_pixels(batch.images))
        return TokenizerLoss(self.pixel_weight * pixel + quantized.loss, pixel, quantized.codes)

    def loss(self, batch: ImageBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses of `reconstruct`."""
        made = self.reconstruct(batch)
        return made.total, {"loss": made.total, self.measured: made.feature}
