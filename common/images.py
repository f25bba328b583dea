"""Encoded images to what a model takes: eight bits of red, green and blue, upright, square, at the encoder's size."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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


# What a file of an image may end in, in lower case and without the dot: what PIL reads, in folders and shards alike.
IMAGE_EXTENSIONS = (
    *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "avif", "avifs", "bmp", "dib"),
    *("tif", "tiff", "jp2", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm", "tga", "ico"),
)
MAX_PIXELS = 64_000_000


class UnreadableImage(ValueError):
    """An image that cannot be used; `reason` is one of a few words to count by, as "not an image" or "too large"."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"not a readable image: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason


def has_image_extension(name: str) -> bool:
    """Whether a file's name ends as an image's."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def open_image(content: bytes | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image to 8-bit RGB: upright, on white, its first frame. The one way in for every image of the project.

    Damaged metadata never costs an image: where the pixels decode, they are kept.

    Args:
        content: the encoded bytes, or a file.
        max_pixels: an image of more is refused before it is decoded.

    Raises:
        UnreadableImage: it is no image, is cut short, or is too large.
        OSError: the file cannot be read.
    """
    data = content.read_bytes() if isinstance(content, Path) else content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > max_pixels:
                raise UnreadableImage("too large", f"{image.width} x {image.height} pixels")
            image.load()
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too large", str(error)) from error
    except Exception as error:  # PIL's decoders raise whatever the damage leads them to
        raise UnreadableImage("damaged", " ".join(str(error).split())[:200]) from error
    return rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its camera says, where that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # the tag that names the turn may be whole though its neighbour is not
        return image
