"""Pictures of PIL to what a model takes: eight bits of red, green and blue, square, at the encoder's size."""

import numpy as np
from PIL import Image, ImageOps

GROUND = (255, 255, 255)  # what shows through where an image is transparent, and around one that is no square


def rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue, whatever the image had."""
    if (
        image.mode.startswith("I") or image.mode == "F"
    ):  # 16 bits and more: PIL's own conversion would clip them
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(np.clip(values / 257 + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*GROUND, 255))
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def centre_square(image: Image.Image, side: int) -> Image.Image:
    """The centre square of an image, resized; an image of that size stays as it is."""
    if image.size == (side, side):
        return image
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))


def whole_square(image: Image.Image, side: int) -> Image.Image:
    """All of an image, resized, with ground around it; an image of that size stays as it is."""
    if image.size == (side, side):
        return image
    return ImageOps.pad(image, (side, side), Image.Resampling.BICUBIC, color=GROUND)
