"""The one way from a picture to what a model sees, or makes codes of: training, generate.py, evaluations and callbacks.

A picture is seen at the size of the encoder of seen images (448 in the paper's stage 3), and becomes codes at that of the
tokenizer's (224): each straight from the file, for an image that is resized twice gives other codes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.images import centre_square, open_image, whole_square
from common.paths import user_path

# Of the way itself. Whoever changes a pixel of what reaches an encoder raises it: codes and features that were made ahead
# of time in another way are then refused. 2: straight from the file to the size of the encoder.
VERSION = 2


def stretched_square(image: Image.Image, side: int) -> Image.Image:
    """All of an image, its shape given up for a square."""
    return image.resize((side, side), Image.Resampling.BICUBIC)


ImageLike = str | PathLike[str] | Image.Image | Tensor
# How a picture that is no square becomes one. Training crops; benchmarks that need all of a picture pad or stretch it.
FITS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "crop": centre_square,
    "pad": whole_square,
    "stretch": stretched_square,
}


@dataclass(frozen=True)
class ImageInput:
    """How a model takes pictures that it is to see, or that are to become codes.

    Args:
        size: side of the squares that their encoder takes.
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

    def resize(self, image: Tensor) -> Tensor:
        """Pictures that are tensors already (..., 3, H, W) uint8 -> (..., 3, size, size), as `square` crops one."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        if image.ndim > 3:
            return torch.stack([self.resize(one) for one in image])
        return self.square(to_pil(image)).to(image.device)


def load_image(image: ImageLike) -> Image.Image:
    """An image as 8-bit RGB, whatever holds it.

    Raises:
        ValueError: there is no such file, it is no image that can be read, or a tensor of another shape or type.
    """
    if isinstance(image, Tensor):
        if image.ndim != 3 or len(image) != 3 or image.dtype != torch.uint8:
            raise ValueError(
                f"an image as a tensor is (3, H, W) uint8, not {tuple(image.shape)} {image.dtype}"
            )
        return to_pil(image)
    if isinstance(image, Image.Image):
        return open_image(image, "the image")
    if not isinstance(image, str | PathLike):
        raise ValueError(f"an image is a path, an image of PIL or a tensor, not {image!r:.80}")
    path = user_path(image)
    if not path.is_file():
        raise ValueError(f"{path} is not there" if not path.exists() else f"{path} is not a file")
    return open_image(path, str(path))


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_pil(image: Tensor) -> Image.Image:
    """(3, H, W) uint8 as an RGB picture."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))
