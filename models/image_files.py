"""Image files: encoded for writing, and read with care, as they may be anybody's."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from common import images


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def encoded(image: Tensor, name: str) -> bytes:
    """An image (3, H, W) uint8 as a file of that name: PNG, or JPEG at its best, which loses a level or two of 255."""
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))
    if name.endswith(".png"):
        return png(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=100, subsampling=0)
    return buffer.getvalue()


def open_image(content: bytes | Path | Image.Image, where: str) -> Image.Image:
    """An image as `common.images.open_image` opens it, the one way in.

    Args:
        content: the file's bytes, the file, or what another library has opened.
        where: what an error calls it.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return images.open_image(content)
    except (images.UnreadableImage, OSError) as error:
        raise ValueError(f"{where} is no image that can be read ({error}): replace it") from error
