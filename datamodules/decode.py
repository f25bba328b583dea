"""Bytes to pixels and words, with care: what stands in shards is not to be trusted."""

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from common.images import IMAGE_EXTENSIONS, has_image_extension, open_image
from common.text import decode_text
from models.image_input import ImageInput

MOST_TEXT = 2**16  # bytes of a caption
MOST_PLAIN_TEXT = 2**24  # of a text that is a document of its own
MOST_JSON = 2**22


def decode_image(data: bytes, size: int, longest: int | None = None) -> Tensor:
    """An encoded image -> (3, size, size) uint8: upright, on white, its first frame, the centre square, resized.

    With `longest` all of the image instead, (3, H, W), and shrunk only where a side is longer than that.

    Raises:
        UnreadableImage: it is no image, is cut short or damaged, or is too large; a ValueError.
    """
    return ImageInput(size, longest)(open_image(data))


def image_endings(sample: Mapping[str, Any]) -> list[str]:
    """The members of a sample that are images: "png" or "JPG" of a raw pair, "0.png" of a document."""
    return [ending for ending in sample if has_image_extension(ending)]


def image_ending(sample: Mapping[str, Any]) -> str | None:
    """The member that is the image of a raw pair, "png" or "JPG"; None where there is none.

    Of several, the first in IMAGE_EXTENSIONS.
    """
    found = [ending for ending in sample if ending.lower() in IMAGE_EXTENSIONS]
    return min(found, key=lambda ending: IMAGE_EXTENSIONS.index(ending.lower()), default=None)


def sample_image(sample: Mapping[str, Any], size: int, longest: int | None = None) -> Tensor:
    """The image of a raw pair; sizes as in `decode_image`.

    Raises:
        ValueError: the sample has none, or it cannot be read.
    """
    return ImageInput(size, longest)(open_sample_image(sample))


def open_sample_image(sample: Mapping[str, Any]) -> Image.Image:
    """The image of a raw pair, in RGB and of its own size.

    Raises:
        ValueError: the sample has none, or it cannot be read.
    """
    ending = image_ending(sample)
    if ending is None:
        raise ValueError("a sample has no image")
    return open_image(sample[ending])


def sample_text(sample: Mapping[str, Any], ending: str, most: int = MOST_TEXT) -> str:
    """The words of a member, of no more than `most` bytes.

    Raises:
        ValueError: there is none, it is empty, too long, or in an encoding that is not read.
    """
    if ending not in sample:
        raise ValueError(f"a sample has no {ending}")
    if len(sample[ending]) > most:
        raise ValueError(f"a text is longer than {most >> 10} KiB")
    try:
        words = decode_text(sample[ending], ending).strip()
    except ValueError as error:
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
