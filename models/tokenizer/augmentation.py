"""Another view of an image: light and grain, of which no caption speaks, are changed; what it shows stays."""

import math

import torch
from torch import Tensor


def augment_view(images: Tensor, light: float = 0.15, grain: float = 9.0) -> Tensor:
    """(B, 3, H, W) uint8 under another slant of light and with more grain; same shape and dtype.

    `light` is the most that it rises or falls from the middle to a border, as a share; `grain` is the standard deviation
    of the added grain in levels of 255, soft over 2 x 2 pixels.
    """
    count, _, height, width = images.shape
    down = torch.linspace(-1, 1, height, device=images.device)[:, None]
    across = torch.linspace(-1, 1, width, device=images.device)
    angle = 2 * math.pi * torch.rand(count, 1, 1, device=images.device)
    strength = light * torch.rand(count, 1, 1, device=images.device)
    slant = 1 + strength * (across * angle.cos() + down * angle.sin())  # (B, H, W)
    fine = torch.randn(count, height, width, device=images.device)
    soft = (fine + fine.roll(1, 1) + fine.roll(1, 2) + fine.roll((1, 1), (1, 2))) / 2
    changed = images * slant[:, None] + grain * soft[:, None]
    return changed.clamp(0, 255).round().to(torch.uint8)
