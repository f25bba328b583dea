"""Random views of an image that mean the same: other light, more grain. What they change, features should not tell."""

import math

import torch
from torch import Tensor


def view(images: Tensor, grain: float = 12.0, light: float = 0.2, gain: float = 0.05) -> Tensor:
    """One random view of each image, from torch's own random state.

    Args:
        images: (B, 3, H, W) levels of 0 to 255.
        grain: largest standard deviation of the grey, soft grain, in levels.
        light: largest slope of the light: its change from the centre to a border.
        gain: largest change of the brightness as a whole.

    Returns:
        (B, 3, H, W) float, 0 to 255.
    """
    batch, _, height, width = images.shape
    draw = torch.rand(4, batch, 1, 1, device=images.device)
    angle = 2 * math.pi * draw[0]
    x = torch.linspace(-1, 1, width, device=images.device)  # (W,)
    y = torch.linspace(-1, 1, height, device=images.device)[:, None]  # (H, 1)
    slope = x * angle.cos() + y * angle.sin()  # (B, H, W)
    lit = 1 + gain * (2 * draw[1] - 1) + light * draw[2] * slope
    fine = torch.randn(batch, height, width, device=images.device)
    above = fine + fine.roll(1, 1)
    soft = (above + above.roll(1, 2)) / 2  # of variance 1
    return (images * lit[:, None] + (grain * draw[3] * soft)[:, None]).clamp(0, 255)
