"""The stem: a deterministic decoder from reconstructed features to a coarse image.

It draws what the features settle; light, grain and edges are left to diffusion. Small models need it, Stable Diffusion
does not.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from models.tokenizer.blocks import TransformerBlock


class _Upsample(nn.Module):
    """Doubles the side by pixel shuffle, then one residual convolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.grow = nn.Sequential(nn.Conv2d(inside, 4 * outside, 1), nn.PixelShuffle(2))
        self.mix = nn.Sequential(
            nn.GroupNorm(4, outside), nn.SiLU(), nn.Conv2d(outside, outside, 3, padding=1),
            nn.GroupNorm(4, outside), nn.SiLU(), nn.Conv2d(outside, outside, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.grow(x)
        return x + self.mix(x)


class Stem(nn.Module):
    """Features (B, grid^2, D) -> a coarse image (B, 3, 8 grid, 8 grid) in about -1 to 1, by three doublings."""

    def __init__(self, feature_width: int, grid: int, channels: tuple[int, int, int] = (96, 48, 24)) -> None:
        super().__init__()
        self.grid = grid
        self.block = TransformerBlock(feature_width, 4)
        wide, middle, narrow = channels
        self.ups = nn.Sequential(
            _Upsample(feature_width, wide), _Upsample(wide, middle), _Upsample(middle, narrow)
        )
        self.rgb = nn.Conv2d(narrow, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """The coarse image."""
        x = self.block(features).transpose(1, 2).unflatten(2, (self.grid, self.grid))  # (B, D, h, w)
        return self.rgb(self.ups(x))

    def loss(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Mean absolute error to pixels in -1 to 1: the coarse image is the median of what the features allow."""
        return F.l1_loss(self(features), pixels)
