"""What the image stages need of a batch, whoever makes it."""

from typing import Protocol

from torch import Tensor


class ImageBatch(Protocol):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1; code_images as `coded` has them."""

    images: Tensor
    captions: Tensor
    code_images: Tensor | None


def coded(batch: ImageBatch) -> Tensor:
    """(B, 3, h, w) uint8 of which codes are made: `images`, unless the tokenizer's encoder takes another size."""
    return batch.images if batch.code_images is None else batch.code_images
