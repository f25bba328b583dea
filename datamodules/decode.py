"""Bytes to pixels and words, with care: what stands in shards is not to be trusted."""

import io
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from common.images import centre_square, rgb

MOST_PIXELS = 64_000_000
MOST_TEXT = 2**16  # bytes of a caption
MOST_JSON = 2**22
IMAGE_ENDINGS = ("png", "jpg", "jpeg", "webp")


def decode_image(data: bytes, size: int, longest: int | None = None) -> Tensor:
    """An encoded image -> (3, size, size) uint8: upright, on white, its first frame, the centre square, resized.

    With `longest` all of the image instead, (3, H, W), and shrunk only where a side is longer than that.

    Raises:
        ValueError: it is no image, is cut short, or is too large to be one.
    """
    image = _opened(data)
    if longest is not None:
        # it averages whole pixels first (`reducing_gap`), so that a strip of millions makes no filter of gigabytes
        image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    else:
        image = centre_square(image, size)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _opened(data: bytes) -> Image.Image:
    """An encoded image, upright and on white, if it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"the image has too many pixels: {image.width} x {image.height}")
            return rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:  # its own words name a buffer in memory
        raise ValueError("not a readable image") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image has too many pixels: {error}") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"not a readable image: {error}") from error


def image_endings(sample: Mapping[str, Any]) -> list[str]:
    """The members of a sample that are images: "png" of a raw pair, "0.png" of a document."""
    return [ending for ending in sample if ending.rpartition(".")[2] in IMAGE_ENDINGS]


def sample_image(sample: Mapping[str, Any], size: int, longest: int | None = None) -> Tensor:
    """The image of a raw pair; sizes as in `decode_image`.

    Raises:
        ValueError: the sample has none, or it cannot be read.
    """
    for ending in IMAGE_ENDINGS:
        if ending in sample:
            return decode_image(sample[ending], size, longest)
    raise ValueError("a sample has no image")


def sample_text(sample: Mapping[str, Any], ending: str) -> str:
    """The words of a member.

    Raises:
        ValueError: there is none, it is empty, too long, or no UTF-8.
    """
    if ending not in sample:
        raise ValueError(f"a sample has no {ending}")
    if len(sample[ending]) > MOST_TEXT:
        raise ValueError(f"a text is longer than {MOST_TEXT >> 10} KiB")
    try:
        words = sample[ending].decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"a text is not UTF-8: {error}") from error
    if not words:
        raise ValueError("a text is empty")
    return words


def sample_json(sample: Mapping[str, Any]) -> Any:
    """What the `json` member says.

    Raises:
        ValueError: there is none, or it is no JSON.
    """
    if "json" not in sample:
        raise ValueError("a sample has no json")
    if len(sample["json"]) > MOST_JSON:
        raise ValueError(f"a json is longer than {MOST_JSON >> 20} MiB")
    try:
        return json.loads(sample["json"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a json cannot be read: {error}") from error
