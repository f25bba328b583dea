"""The semantic tokenizer: encoder features -> projection -> quantizer -> feature decoder -> features.

ILLUME section 3.1: the codebook is learned on the features of a frozen text-aligned encoder, by rebuilding those
features. The encoder is not part of this module: `Illume` holds it once for both of its uses.
"""

from typing import ClassVar, Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from models.component import Component
from models.precision import FullPrecision, fixed_precision
from models.tokenizer.blocks import TransformerBlock
from models.tokenizer.quantizer import Quantized, Quantizer, QuantizerKind


def feature_loss(rebuilt: Tensor, target: Tensor, cosine_weight: float = 1.0) -> Tensor:
    """Smooth-L1 + weight * (1 - cosine) between features (B, N, D). The relative weight is assumed."""
    cosine = 1 - F.cosine_similarity(rebuilt, target, dim=-1).mean()
    return F.smooth_l1_loss(rebuilt, target) + cosine_weight * cosine


class TokenizerLoss(NamedTuple):
    """The training loss and what is logged beside it."""

    total: Tensor  # feature loss + quantizer loss
    feature: Tensor
    codes: Tensor  # (B, N)


class SemanticTokenizer(FullPrecision, Component):
    """Features to codes and back."""

    reads: ClassVar[Literal["features"]] = "features"

    def __init__(
        self,
        feature_width: int = 128,  # D of the encoder's features
        tokens: int = 36,  # codes of an image (256 in the paper)
        codes: int = 1024,  # of the codebook (16,384 in the paper)
        code_width: int = 16,  # assumed
        decoder_layers: int = 2,  # 4 in ILLUME+; ILLUME's own is not published
        heads: int = 4,
        quantizer: QuantizerKind = "ema",
    ) -> None:
        super().__init__()
        self.feature_width, self.tokens, self.codes = feature_width, tokens, codes
        self.project = nn.Sequential(
            nn.Linear(feature_width, feature_width),
            nn.GELU(),
            nn.Linear(feature_width, code_width),
            nn.LayerNorm(code_width),
        )
        self.quantizer = Quantizer(codes, code_width, quantizer)
        self.expand = nn.Linear(code_width, feature_width)
        self.positions = nn.Parameter(self.expand.weight.new_zeros(1, tokens, feature_width))
        self.decoder = nn.Sequential(*(TransformerBlock(feature_width, heads) for _ in range(decoder_layers)))
        self.out = nn.Sequential(
            nn.Linear(feature_width, feature_width), nn.LayerNorm(feature_width, elementwise_affine=False)
        )

    @property
    def codebook(self) -> Tensor:
        """(K, C) the codes' vectors."""
        return self.quantizer.codebook

    def encode(self, features: Tensor) -> Tensor:
        """(B, N, D) features -> (B, N) codes, the same whatever precision surrounds it."""
        return self._quantized(features).codes

    def decode(self, codes: Tensor) -> Tensor:
        """(B, N) codes -> (B, N, D) reconstructed features, the same whatever precision surrounds it."""
        with fixed_precision(codes.device.type):
            return self._rebuild(self.quantizer.lookup(codes))

    def _quantized(self, features: Tensor) -> Quantized:
        return self.quantizer(self._projected(features))

    def _projected(self, features: Tensor) -> Tensor:
        with fixed_precision(features.device.type):
            return self.project(features.float())

    def _rebuild(self, vectors: Tensor) -> Tensor:
        return self.out(self.decoder(self.expand(vectors) + self.positions))

    def reconstruct(self, features: Tensor) -> Quantized:
        """(B, N, D) features -> their reconstruction (B, N, D), through which gradients pass, codes, quantizer loss."""
        quantized = self._quantized(features)
        return quantized._replace(vectors=self._rebuild(quantized.vectors))

    def view_loss(self, features: Tensor, others: Tensor) -> Tensor:
        """Mean squared distance of two views of the same images before quantization; features (B, N, D) each."""
        return F.mse_loss(self._projected(features), self._projected(others))

    def forward(self, features: Tensor) -> TokenizerLoss:
        """The training loss on (B, N, D) features of the frozen encoder."""
        rebuilt, codes, quantizer_loss = self.reconstruct(features)
        feature = feature_loss(rebuilt, features.detach())
        return TokenizerLoss(feature + quantizer_loss, feature, codes)
