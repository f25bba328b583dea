"""High resolution: an image as a grid of square slices, each seen by itself (ILLUME's stage 3, understanding only).

In a document a sliced image is a few `See` parts, each with its own begin_image and end_image: the thumbnail if there is
one, then the slices row by row; each row, the thumbnail's too, ends with a line break. So no token is new, and packing,
masks and attention know nothing of slices. Grids without padding, by the closest aspect ratio, as InternVL 1.5 has them
(arXiv 2404.16821, section 3.3); ILLUME's own set of grids is not published (assumed).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor

from models.document import Branches, Document, Part, See, Text, draws
from models.image_input import ImageInput

ROW_END = Text("\n")
Grid = tuple[int, int]


@dataclass(frozen=True)
class Slicing:
    """How images are sliced.

    Args:
        most: slices of one image, its thumbnail not counted (9 in the paper, which does not say whether it counts).
        size: side of a slice in pixels, which is what the encoder of seen images takes (448 in the paper).
        thumbnail: whether the whole image, made a square, comes before its slices (assumed: ILLUME+'s code does so).

    Raises:
        ValueError: most or size is below 1.
    """

    most: int = 9
    size: int = 448
    thumbnail: bool = True

    def __post_init__(self) -> None:
        if self.most < 1 or self.size < 1:
            raise ValueError(f"slicing: most {self.most} and size {self.size} must be 1 at least")

    @property
    def longest(self) -> int:
        """Pixels of the longest side that slices can show."""
        return self.most * self.size


def best_grid(height: int, width: int, slicing: Slicing) -> Grid:
    """Rows and columns for an image of these pixels.

    Of all grids with no more slices than `most`, and along each side with no more than its pixels begin to fill (a small
    image is one slice), that which stretches the image least. Of several, the largest that it fills by half.
    """
    size, most = slicing.size, slicing.most
    grids = [
        (rows, columns)
        for rows in range(1, min(most, -(-height // size)) + 1)
        for columns in range(1, min(most // rows, -(-width // size)) + 1)
    ]

    def stretch(grid: Grid) -> Fraction:
        sides = width * grid[0], height * grid[1]
        return Fraction(max(sides), min(sides))

    least = min(map(stretch, grids))
    alike = sorted((grid for grid in grids if stretch(grid) == least), key=math.prod)
    filled = [grid for grid in alike if 2 * height * width >= math.prod(grid) * size**2]
    return filled[-1] if filled else alike[0]


def slices(image: Tensor, size: int, grid: Grid) -> list[Tensor]:
    """Slices (3, size, size) of an image (3, H, W) uint8, row by row: side by side they are the image, resized."""
    rows, columns = grid
    whole = resized(image, rows * size, columns * size)
    return [cut for row in whole.split(size, 1) for cut in row.split(size, 2)]


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """(3, H, W) uint8 on the CPU -> (3, height, width): bicubic, with a wider filter where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]


def slice_document(document: Document, slicing: Slicing) -> list[Part]:
    """The document with its seen images as a model that slices sees them.

    They are sliced where the document draws nothing; one that edits or rebuilds an image sees the centre square of it,
    of which it draws the codes.
    """
    return list(_parts(document, slicing, whole=not draws(document)))


def _parts(document: Document, slicing: Slicing, whole: bool) -> Iterator[Part]:
    for part in document:
        # to the CPU: one device for all that is seen, and only there torch resizes whole numbers
        image = part.image.cpu() if isinstance(part, See) and part.image is not None else None
        if isinstance(part, Branches):
            yield Branches(tuple(tuple(_parts(way, slicing, whole)) for way in part.ways))
        elif image is None:
            yield part
        elif whole:
            yield from _sliced(image, slicing)
        else:
            yield See(ImageInput(slicing.size).resized(image))


def _sliced(image: Tensor, slicing: Slicing) -> Iterator[Part]:
    size = slicing.size
    grid = best_grid(*image.shape[-2:], slicing)
    if grid == (1, 1):
        yield See(resized(image, size, size))
        return
    cuts, columns = slices(image, size, grid), grid[1]
    rows = [cuts[start : start + columns] for start in range(0, len(cuts), columns)]
    for row in ([[resized(image, size, size)]] if slicing.thumbnail else []) + rows:
        yield from map(See, row)
        yield ROW_END
