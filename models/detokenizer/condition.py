"""How reconstructed features reach the UNet of Stable Diffusion: through its cross-attention, or beside its latents.

Which of the two ILLUME takes is not published. LaVIT, its nearest precedent, puts projected features where text was;
ILLUME+, of ILLUME's authors, gives cross-attention zeros and concatenates. In both the null condition is zeros.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.detokenizer.diffusion import upsample_features


class Condition(NamedTuple):
    """What the UNet is given beside noisy latents and timestep.

    tokens (B, T, W) for cross-attention; pooled (B, P) where SDXL has its pooled text, or None; laid (B, C, h, w) to
    concatenate to the latents, or None.
    """

    tokens: Tensor
    pooled: Tensor | None
    laid: Tensor | None

    def kept(self, keep: Tensor) -> "Condition":
        """The null condition where `keep` (B,) is false."""
        return Condition(*(None if x is None else x * keep.view(-1, *[1] * (x.ndim - 1)) for x in self))

    def after_null(self) -> "Condition":
        """The batch doubled: as many null conditions, then these."""
        return Condition(*(None if x is None else torch.cat([torch.zeros_like(x), x]) for x in self))


class CrossAttention(nn.Module):
    """Features (B, N, D) as the tokens that cross-attention reads, and their mean as SDXL's pooled text.

    Text tokens know their places, which cross-attention cannot see; so each place has a learned vector. The norm gives
    them about the scale of CLIP's text. Both are assumed.

    Args:
        feature_width: D.
        tokens: N.
        width: the UNet's cross_attention_dim.
        pooled: width of SDXL's pooled text; 0: it takes none.
    """

    def __init__(self, feature_width: int, tokens: int, width: int, pooled: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(feature_width, width), nn.LayerNorm(width))
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.pool = nn.Linear(feature_width, pooled) if pooled else None

    def forward(self, features: Tensor) -> Condition:
        """The condition of each image."""
        pooled = None if self.pool is None else self.pool(features.mean(1))
        return Condition(self.project(features) + self.places, pooled, None)


class Concatenation(nn.Module):
    """Features (B, N, D) laid over the latent grid; cross-attention and SDXL's pooled text are given zeros.

    Of zeros every token says the same, nothing; one is enough.

    Args:
        feature_width: D.
        grid: side of the feature grid, N = grid^2.
        side: of the latent grid.
        channels: that are concatenated to the latents.
        width: the UNet's cross_attention_dim.
        pooled: width of SDXL's pooled text; 0: it takes none.
    """

    def __init__(
        self, feature_width: int, grid: int, side: int, channels: int, width: int, pooled: int
    ) -> None:
        super().__init__()
        self.grid, self.side, self.width, self.pooled = grid, side, width, pooled
        self.project = nn.Linear(feature_width, 4 * channels)  # then one pixel shuffle

    def forward(self, features: Tensor) -> Condition:
        """The condition of each image."""
        laid = upsample_features(self.project(features), self.grid, self.side)
        pooled = laid.new_zeros(len(laid), self.pooled) if self.pooled else None
        return Condition(laid.new_zeros(len(laid), 1, self.width), pooled, laid)
