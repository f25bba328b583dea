"""Scenes and images between numpy (H, W, 3), which the playground speaks, and torch (3, H, W), which models speak."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from worlds.playground.render import render
from worlds.playground.scene import Scene


def render_scenes(scenes: Sequence[Scene]) -> Tensor:
    """Scenes as images (B, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([render(scene) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


def to_numpy(images: Tensor) -> np.ndarray:
    """Images (B, 3, H, W) uint8 as (B, H, W, 3), for the judge."""
    return images.permute(0, 2, 3, 1).cpu().numpy()


def image_to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture (H, W) as a tensor (3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
