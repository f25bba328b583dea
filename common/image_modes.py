"""Pixels of any kind to eight bits of red, green and blue on white."""

from functools import cache

import numpy as np
from PIL import Image, ImageCms

GROUND = (255, 255, 255)  # what shows through where an image is transparent, and around one that is no square
TILE = 1 << 22  # pixels that are converted at once


class UnreadableImage(ValueError):
    """An image that cannot be used; `reason` is a few words to count by, as "no image" or "cut short".

    Whoever counts messages by their words up to the first colon counts by reason too.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"not a readable image, {reason}" + (f": {detail}" if detail else ""))
        self.reason = reason


def rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue, whatever the image had; what is transparent shows GROUND.

    - 16-bit integers are divided by 257, and so are 32-bit ones, whose range PIL does not give.
    - Floating-point values are from 0 to 1 where none is above 1.1, else from 0 to 255 where none is above 256, else from
      0 to 65535; the little that passes the range, as sharpening leaves it, is clipped.
    - CIELAB goes through sRGB's profile. The rest is PIL's own conversion; profiles in the image are not applied.

    Raises:
        UnreadableImage: values that are in no such range, or are no numbers.
    """
    if image.mode == "RGB" and not _is_transparent(image):
        return image
    scale = _scale(image)
    if image.width * image.height <= TILE:
        return _tile_rgb(image, scale)
    made = Image.new("RGB", image.size)  # a tile at a time, so that no second copy of the whole is made
    width = min(image.width, TILE)
    height = TILE // width
    for top in range(0, image.height, height):
        for left in range(0, image.width, width):
            box = (left, top, min(left + width, image.width), min(top + height, image.height))
            made.paste(_tile_rgb(image.crop(box), scale), box)
    return made


def _scale(image: Image.Image) -> float:
    """What values are multiplied by to be from 0 to 255; 1 of images that have eight bits or less."""
    if image.mode.startswith("I;16"):
        return 1 / 257
    if image.mode not in ("I", "F"):
        return 1.0
    rows = max(1, TILE // image.width)
    strips = (
        image.crop((0, top, image.width, min(top + rows, image.height)))
        for top in range(0, image.height, rows)
    )
    low, high = np.inf, -np.inf
    for values in map(np.asarray, strips):
        low, high = np.minimum(low, values.min()), np.maximum(high, values.max())  # a NaN stays one
    least = 0 if image.mode == "I" else -0.1 * min(max(high, 1), 65535)
    if not (low >= least and high <= 65535 * (1 if image.mode == "I" else 1.1)):
        raise UnreadableImage("values of no known range", f"from {low:g} to {high:g} in mode {image.mode}")
    if image.mode == "I" or high > 256:
        return 1 / 257
    return 255.0 if high <= 1.1 else 1.0


def _tile_rgb(image: Image.Image, scale: float) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # PIL's own conversion would clip them
        values, hidden = np.asarray(image, dtype=np.float64), image.info.get("transparency")
        image = Image.fromarray(np.clip(values * scale + 0.5, 0, 255).astype(np.uint8))
        if isinstance(hidden, int):
            image.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    elif image.mode == "LAB":
        image = ImageCms.applyTransform(image, _from_lab())
    if _is_transparent(image):
        image = _with_alpha(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*GROUND, 255)), image)
    return image.convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    if image.mode == "P" and image.palette is None:  # out of an ICNS, of which PIL keeps no palette
        return "transparency" in image.info
    return image.has_transparency_data


def _with_alpha(image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGBA")
    except Exception:  # the transparent colour is none of the image
        image.info.pop("transparency", None)
        return image.convert("RGBA")


@cache
def _from_lab() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
