"""The images of a batch: each once, and what is drawn apart from what is seen where encoders take two sizes."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Images:
    """Images of one size, each once."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.indices: dict[int, int] = {}

    def index(self, image: Tensor | None) -> int:
        """Which it is, -1 where there is none."""
        if image is None:
            return -1
        if id(image) not in self.indices:
            self.indices[id(image)] = len(self.images)
            self.images.append(image)
        return self.indices[id(image)]

    def stacked(self) -> Tensor:
        """(M, 3, H, W)."""
        return torch.stack(self.images) if self.images else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)


def image_tables(
    used: Iterable[tuple[Sequence[Tensor | None], Sequence[int]]], seen: int, drawn: int
) -> dict[int, Images]:
    """A place for what is seen and one for what is drawn: one and the same, unless they are of two sizes.

    Args:
        used: images, and how each is used, of each segment.
        seen: the one use.
        drawn: the other.
    """
    shapes: dict[int, set[torch.Size]] = {seen: set(), drawn: set()}
    for images, uses in used:
        for image, use in zip(images, uses, strict=True):
            if image is not None:
                shapes[use].add(image.shape)
    two_sizes = all(shapes.values()) and shapes[seen] != shapes[drawn]
    images = Images()
    return {seen: images, drawn: Images() if two_sizes else images}
