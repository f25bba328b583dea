"""How reconstructed features reach the UNet of Stable Diffusion: through its cross-attention, or beside its latents.

Which of the two ILLUME takes is not published. LaVIT, its nearest precedent, puts projected features where text was;
ILLUME+, of ILLUME's authors, gives cross-attention zeros and concatenates. In both the null condition is zeros.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.detokenizer.diffusion import upsample_features


class Condition(NamedTuple):
    """What the UNet is given beside noisy latents and timestep."""

    tokens: Tensor  # (B, T, W) for cross-attention
    pooled: Tensor | None  # (B, P) where SDXL has its pooled text
    concatenated: Tensor | None  # (B, C, h, w) to concatenate to the latents

    def mask(self, keep: Tensor) -> "Condition":
        """The null condition where `keep` (B,) is false."""
        return self._map(lambda x: x * keep.view(-1, *[1] * (x.ndim - 1)))

    def prepend_null(self) -> "Condition":
        """The batch doubled: as many null conditions, then these."""
        return self._map(lambda x: torch.cat([torch.zeros_like(x), x]))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        optional = (None if x is None else change(x) for x in self[1:])
        return Condition(change(self.tokens), *optional)


class CrossAttention(nn.Module):
    """Features (B, N, D) as the `width` wide tokens that cross-attention reads, and their mean as SDXL's pooled text.

    Cross-attention does not see where a token is, so each has a learned position embedding. The norm gives them about the
    scale of CLIP's text. Both are assumed. A UNet without pooled text has `pooled` 0.
    """

    def __init__(self, feature_width: int, tokens: int, width: int, pooled: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(feature_width, width), nn.LayerNorm(width))
        self.position_embedding = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.pool = nn.Linear(feature_width, pooled) if pooled else None

    def forward(self, features: Tensor) -> Condition:
        """The condition of each image."""
        pooled = None if self.pool is None else self.pool(features.mean(1))
        return Condition(self.project(features) + self.position_embedding, pooled, None)


class Concatenation(nn.Module):
    """Features (B, grid^2, D) upsampled to the latents' side, as `channels` to concatenate to them.

    Cross-attention and SDXL's pooled text are given zeros; a single token is enough, as of zeros all are the same.
    """

    def __init__(
        self, feature_width: int, grid: int, side: int, channels: int, width: int, pooled: int
    ) -> None:
        super().__init__()
        self.grid, self.side, self.width, self.pooled = grid, side, width, pooled
        self.project = nn.Linear(feature_width, 4 * channels)  # then one pixel shuffle

    def forward(self, features: Tensor) -> Condition:
        """The condition of each image."""
        concatenated = upsample_features(self.project(features), self.grid, self.side)
        zeros = concatenated.new_zeros(len(features), 1, self.width)
        pooled = concatenated.new_zeros(len(features), self.pooled) if self.pooled else None
        return Condition(zeros, pooled, concatenated)
