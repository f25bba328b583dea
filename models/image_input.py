"""How an image is prepared for a model, in training, generate.py, evaluations and callbacks alike.

An image is seen at the size of the understanding encoder (448 in the paper's stage 3), and becomes codes at that of the
tokenizer's (224): each straight from the file, for an image that is resized twice gives other codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.images import centre_square, whole_square

# Of the preparation. Whoever changes a pixel of what reaches an encoder raises it: codes and features that were
# precomputed otherwise are then refused. 2: straight from the file to the size of the encoder.
VERSION = 2


def stretched_square(image: Image.Image, side: int) -> Image.Image:
    """All of an image, stretched to a square."""
    return image.resize((side, side), Image.Resampling.BICUBIC)


# How an image becomes a square. Training crops; benchmarks that need all of an image pad or stretch it.
FITS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "crop": centre_square,
    "pad": whole_square,
    "stretch": stretched_square,
}


@dataclass(frozen=True)
class ImageInput:
    """How images are prepared for an encoder."""

    size: int  # side of the squares that it takes
    longest: int | None = None  # side in pixels that slices can show; None: images are not sliced

    def __call__(self, image: Image.Image, fit: str = "crop") -> Tensor:
        """An RGB image -> (3, H, W) uint8: whole where images are sliced, shrunk to `longest`, else `square`."""
        if self.longest is None:
            return self.square(image, fit)
        if max(image.size) > self.longest:
            image = image.copy()
            # averages whole pixels first (`reducing_gap`): a strip of millions would need a filter of gigabytes
            image.thumbnail((self.longest, self.longest), Image.Resampling.BICUBIC)
        return to_tensor(image)

    def square(self, image: Image.Image, fit: str = "crop") -> Tensor:
        """An RGB image -> (3, size, size) uint8, for editing and reconstruction; `fit` is one of FITS."""
        return to_tensor(FITS[fit](image, self.size))

    def resize(self, image: Tensor) -> Tensor:
        """Images (..., 3, H, W) uint8 -> (..., 3, size, size), cropped as `square` does."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        if image.ndim > 3:
            return torch.stack([self.resize(one) for one in image])
        return self.square(to_pil(image)).to(image.device)


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_pil(image: Tensor) -> Image.Image:
    """(3, H, W) uint8 as an RGB image."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))
