"""Sharpness: gradient energy in three spatial bands, relative to the real images.

The bands are a Laplacian pyramid's: detail finer than two pixels, than four, than eight.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BANDS = ("fine", "middle", "coarse")


def band_energies(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (3,) mean squared gradient of each band, fine to coarse."""
    rest, energies = images.float(), []
    for _ in BANDS:
        small = F.avg_pool2d(rest, 2)
        band = rest - F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        across, down = band.diff(dim=-1), band.diff(dim=-2)
        energies.append(across.square().mean() + down.square().mean())
        rest = small
    return torch.stack(energies)


def sharpness(images: Tensor, real: Tensor) -> dict[str, float]:
    """Energy over that of the real images, by band; 1 is as sharp."""
    ratio = band_energies(images) / band_energies(real)
    return dict(zip(BANDS, ratio.tolist(), strict=True))
