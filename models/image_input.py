"""The one way from a picture to what a model sees: for training, generate.py, every evaluation and every callback."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.images import centre_square, whole_square


def stretched_square(image: Image.Image, side: int) -> Image.Image:
    """All of an image, its shape given up for a square."""
    return image.resize((side, side), Image.Resampling.BICUBIC)


# How a picture that is no square becomes one. Training crops; benchmarks that need all of a picture pad or stretch it.
FITS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "crop": centre_square,
    "pad": whole_square,
    "stretch": stretched_square,
}


@dataclass(frozen=True)
class ImageInput:
    """How a model takes pictures that it is to see.

    Args:
        size: side of the squares that its encoder of seen images takes.
        longest: where it slices, the longest side in pixels that slices can show; None: it sees squares.
    """

    size: int
    longest: int | None = None

    def __call__(self, image: Image.Image, fit: str = "crop") -> Tensor:
        """An RGB picture -> (3, H, W) uint8: whole where the model slices, shrunk to `longest`, else `square`."""
        if self.longest is None:
            return self.square(image, fit)
        if max(image.size) > self.longest:
            image = image.copy()
            # it averages whole pixels first (`reducing_gap`), so that a strip of millions makes no filter of gigabytes
            image.thumbnail((self.longest, self.longest), Image.Resampling.BICUBIC)
        return to_tensor(image)

    def square(self, image: Image.Image, fit: str = "crop") -> Tensor:
        """An RGB picture -> (3, size, size) uint8, as one is seen that is edited or rebuilt; `fit` is one of FITS."""
        return to_tensor(FITS[fit](image, self.size))

    def resized(self, image: Tensor) -> Tensor:
        """A picture that is a tensor already (3, H, W) uint8 -> (3, size, size), as `square` crops one."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
        return self.square(Image.fromarray(pixels)).to(image.device)


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
