"""Bytes to pixels, with care: images in shards are not to be trusted."""

import io
import warnings

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

MOST_PIXELS = 64_000_000
IMAGE_ENDINGS = ("png", "jpg", "jpeg", "webp")


def decode_image(data: bytes, size: int) -> Tensor:
    """An encoded image -> (3, size, size) uint8: centre square, resized.

    Raises:
        ValueError: it is no image, is cut short, or is too large to be one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            image = image.convert("RGB")
    except UnidentifiedImageError as error:  # its own words name a buffer in memory
        raise ValueError("not a readable image") from error
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"not a readable image: {error}") from error
    if image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def sample_image(sample: dict, size: int) -> Tensor:
    """The image of a raw pair.

    Raises:
        KeyError: the sample has none.
    """
    for ending in IMAGE_ENDINGS:
        if ending in sample:
            return decode_image(sample[ending], size)
    raise KeyError(f"no image ({', '.join(IMAGE_ENDINGS)})")
