"""The baseline of ILLUME's figure 6: a tokenizer that learns to rebuild pixels, where the semantic one rebuilds features.

It has the networks of the semantic tokenizer behind a vision encoder of its own that is trained with them: as many
parameters and codes, and another target. What ILLUME's own baseline looks like is not published (assumed).
"""

from typing import ClassVar, Literal

from torch import Tensor

from models.component import Component
from models.precision import FullPrecision, frozen_features
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.quantizer import Quantized, QuantizerKind
from models.tokenizer.semantic import SemanticTokenizer


class PixelTokenizer(FullPrecision, Component):
    """Images to codes, and codes to the vectors that a `PixelDecoder` draws from."""

    reads: ClassVar[Literal["pixels"]] = "pixels"

    def __init__(
        self,
        image_size: int = 48,
        width: int = 128,  # D of encoder and vectors
        layers: int = 2,  # of the encoder
        heads: int = 4,
        codes: int = 1024,  # of the codebook (16,384 in the paper)
        code_width: int = 16,  # assumed
        decoder_layers: int = 2,  # between codes and vectors
        quantizer: QuantizerKind = "ema",
    ) -> None:
        super().__init__()
        self.encoder = VisionEncoder(image_size, width, layers, heads)
        self.tokens, self.codes = self.encoder.tokens, codes
        self.body = SemanticTokenizer(width, self.tokens, codes, code_width, decoder_layers, heads, quantizer)

    @property
    def codebook(self) -> Tensor:
        """(K, C) the codes' vectors."""
        return self.body.codebook

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, N) codes, the same whatever precision surrounds it."""
        return self.body.encode(frozen_features(self.encoder, images))

    def decode(self, codes: Tensor) -> Tensor:
        """(B, N) codes -> (B, N, D) vectors."""
        return self.body.decode(codes)

    def forward(self, images: Tensor) -> Quantized:
        """(B, 3, H, W) uint8 -> vectors (B, N, D) whose gradient reaches the encoder, codes, the quantizer's loss."""
        return self.body.reconstruct(self.encoder(images))
