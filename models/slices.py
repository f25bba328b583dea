"""High resolution: an image as a grid of square slices, each seen by itself (ILLUME's stage 3, understanding only).

A sliced image is a few `See` parts: the thumbnail if there is one, then the slices row by row, each row ended by a line
break; packing and masks know nothing of slices. Grids without padding, by the closest aspect ratio, as InternVL 1.5 has
them (arXiv 2404.16821, section 3.3); ILLUME's own set of grids is not published (assumed).
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
        max_slices: of one image, its thumbnail not counted (9 in the paper, which does not say whether it counts).
        size: side of a slice in pixels, which is what the encoder of seen images takes (448 in the paper).
        thumbnail: whether the whole image, made a square, comes before its slices (assumed: ILLUME+'s code does so).
    """

    max_slices: int = 9
    size: int = 448
    thumbnail: bool = True

    def __post_init__(self) -> None:
        if self.max_slices < 1 or self.size < 1:
            raise ValueError(f"slicing: max_slices {self.max_slices} and size {self.size} must be 1 at least")

    @property
    def max_side(self) -> int:
        """Pixels of the longest side that slices can show."""
        return self.max_slices * self.size


def best_grid(height: int, width: int, slicing: Slicing) -> Grid:
    """Rows and columns for an image of these pixels: the grid that stretches it least.

    No side has more slices than its pixels begin to fill. Of several grids, the largest that the image fills by half.
    """
    size, max_slices = slicing.size, slicing.max_slices
    grids = [
        (rows, columns)
        for rows in range(1, min(max_slices, -(-height // size)) + 1)
        for columns in range(1, min(max_slices // rows, -(-width // size)) + 1)
    ]

    def stretch(grid: Grid) -> Fraction:
        sides = width * grid[0], height * grid[1]
        return Fraction(max(sides), min(sides))

    least = min(map(stretch, grids))
    alike = sorted((grid for grid in grids if stretch(grid) == least), key=math.prod)
    filled = [grid for grid in alike if 2 * height * width >= math.prod(grid) * size**2]
    return filled[-1] if filled else alike[0]


def cut_slices(image: Tensor, size: int, grid: Grid) -> list[list[Tensor]]:
    """Rows of slices (3, size, size) of an image (3, H, W) uint8: side by side they are the image, resized."""
    whole = resize(image, grid[0] * size, grid[1] * size)
    return [list(row.split(size, 2)) for row in whole.split(size, 1)]


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """(3, H, W) uint8 on the CPU -> (3, height, width): bicubic, with a wider filter where it shrinks."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]


def slice_document(document: Document, slicing: Slicing) -> list[Part]:
    """The document with its seen images sliced; one that draws sees centre squares, of which it draws the codes."""
    return list(_slice_parts(document, slicing, whole=not draws(document)))


def _slice_parts(document: Document, slicing: Slicing, whole: bool) -> Iterator[Part]:
    for part in document:
        if isinstance(part, Branches):
            yield Branches(tuple(tuple(_slice_parts(own, slicing, whole)) for own in part.branches))
        elif not isinstance(part, See) or part.image is None:
            yield part
        else:
            image = part.image.cpu()  # where all that is seen is, and torch resizes whole numbers
            yield from (
                _slice_image(image, slicing) if whole else [See(ImageInput(slicing.size).resize(image))]
            )


def _slice_image(image: Tensor, slicing: Slicing) -> Iterator[Part]:
    height, width = image.shape[-2:]
    size, grid = slicing.size, best_grid(height, width, slicing)
    if grid == (1, 1):
        yield See(resize(image, size, size))
        return
    thumbnail = [[resize(image, size, size)]] if slicing.thumbnail else []
    for row in thumbnail + cut_slices(image, size, grid):
        yield from map(See, row)
        yield ROW_END
