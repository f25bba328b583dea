"""What the image stages need of a batch, whoever makes it."""

from typing import Protocol

from torch import Tensor


class ImageBatch(Protocol):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1."""

    images: Tensor
    captions: Tensor
