"""What users give to `Illume`: single values or lists, images of any kind, and seeds or none."""

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from common.checks import check_text
from common.images import open_image
from common.paths import expand_home
from models.image_input import to_pil

ImageLike = str | PathLike[str] | Image.Image | Tensor
log = logging.getLogger(__name__)


def load_image(image: ImageLike) -> Image.Image:
    """An image as 8-bit RGB; ValueError where there is no such file, no image in it, or a tensor of another shape."""
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
    path = Path(expand_home(str(image)))
    if not path.is_file():
        raise ValueError(f"{path} is not there" if not path.exists() else f"{path} is not a file")
    return open_image(path, str(path))


def is_list(value: object) -> bool:
    """Whether a value stands for several: a list, a tuple or a tensor of images."""
    return isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.ndim == 4)


def as_list(value: Any, name: str) -> list[Any]:
    """A list of what may be a single one; ValueError where it is empty."""
    values = list(value) if is_list(value) else [value]
    if not values:
        raise ValueError(f"there is no {name}: give one at least")
    return values


def pair_up(image: Any, text: Any, name: str) -> tuple[list[Any], list[str], bool]:
    """Images and as many texts, of which a single one is repeated, and whether both were single."""
    images = as_list(image, "image")
    texts = [check_text(one, f"the {name}") for one in as_list(text, name)]
    count = max(len(images), len(texts))
    if {len(images), len(texts)} - {1, count}:
        raise ValueError(
            f"there are {len(images)} images and {len(texts)} {name}s: give as many of both, or a single one of either"
        )
    single = not is_list(image) and not is_list(text)
    return images * (count // len(images)), texts * (count // len(texts)), single


def make_seeds(seed: int | Sequence[int] | None, count: int) -> list[int]:
    """A seed for each image; a random one comes from torch's global generator."""
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    seeds = [seed + i for i in range(count)] if isinstance(seed, int) else list(seed)
    if len(seeds) != count:
        raise ValueError(f"there are {len(seeds)} seeds and {count} images to draw: give as many, or one")
    if wrong := [one for one in seeds if not isinstance(one, int) or one < 0]:
        raise ValueError(f"the seed {wrong[0]!r} is no whole number from 0")
    log.info("seeds: %s", ", ".join(map(str, seeds)))
    return seeds


def to_pictures(images: Sequence[Tensor], seeds: Sequence[int]) -> list[Image.Image]:
    """Images (3, H, W) uint8 as PIL images, each with its seed in `info`."""
    pictures = [to_pil(image) for image in images]
    for picture, seed in zip(pictures, seeds, strict=True):
        picture.info["seed"] = seed
    return pictures
