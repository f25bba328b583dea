"""Decodes the members of a sample: images, texts and JSON, none of which is trusted."""

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from common.images import IMAGE_EXTENSIONS, has_image_extension, open_image
from common.text import decode_text
from models.image_input import ImageInput

MAX_TEXT_BYTES = 2**16  # bytes of a caption
MAX_PLAIN_TEXT_BYTES = 2**24  # of a text that is a document of its own
MAX_JSON_BYTES = 2**22


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


def sample_image(sample: Mapping[str, Any]) -> Image.Image:
    """The image of a raw pair, in RGB and of its own size.

    Raises:
        ValueError: the sample has none, or it cannot be read.
    """
    ending = image_ending(sample)
    if ending is None:
        raise ValueError("a sample has no image")
    return open_image(sample[ending])


def sample_text(sample: Mapping[str, Any], ending: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a member, of no more than `max_bytes` bytes.

    Raises:
        ValueError: there is none, it is empty, too long, or in an encoding that is not read.
    """
    if ending not in sample:
        raise ValueError(f"a sample has no {ending}")
    if len(sample[ending]) > max_bytes:
        raise ValueError(f"a text is longer than {max_bytes >> 10} KiB")
    try:
        text = decode_text(sample[ending], ending).strip()
    except ValueError as error:
        raise ValueError(f"a text is not UTF-8: {error}") from error
    if not text:
        raise ValueError("a text is empty")
    return text


def sample_json(sample: Mapping[str, Any]) -> Any:
    """The value of the `json` member; raises ValueError if there is none, or it is no JSON."""
    if "json" not in sample:
        raise ValueError("a sample has no json")
    if len(sample["json"]) > MAX_JSON_BYTES:
        raise ValueError(f"a json is longer than {MAX_JSON_BYTES >> 20} MiB")
    try:
        return json.loads(sample["json"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a json cannot be read: {error}") from error
