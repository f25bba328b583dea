"""Contact sheets: enlarged images in rows, a frame that tells right from wrong, a caption under each."""

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from common.files import atomic

SIDE, FRAME, GAP = 128, 4, 8  # pixels: about the side of an enlarged image, its frame, between cells
LINE, LETTERS, LINES = 13, 23, 4  # pixels a line of a caption, letters a line, lines at most
PLAIN, RIGHT, WRONG = (205, 205, 205), (40, 160, 70), (210, 60, 60)


class Cell(NamedTuple):
    """One image (3, H, W) uint8, its caption, and whether it is right (None: nobody asked)."""

    image: Tensor
    caption: str = ""
    right: bool | None = None


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)


def _enlarged(image: Tensor) -> Image.Image:
    """Pixel by pixel, so that nothing is smoothed over; large images are shrunk instead."""
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))
    zoom = round(SIDE / picture.width)
    if zoom < 1:
        return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def contact_sheet(cells: Sequence[Cell], columns: int = 8) -> Image.Image:
    """Cells in reading order, `columns` in a row."""
    pictures = [_enlarged(cell.image) for cell in cells]
    captions = [textwrap.wrap(cell.caption, LETTERS, max_lines=LINES, placeholder="...") for cell in cells]
    wide, high = (size + 2 * FRAME for size in pictures[0].size)
    step = high + LINE * max(map(len, captions)) + GAP  # from one row to the next
    columns = min(columns, len(cells))
    sheet = Image.new("RGB", (columns * (wide + GAP) + GAP, -(-len(cells) // columns) * step + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (cell, picture, lines) in enumerate(zip(cells, pictures, captions, strict=True)):
        left, top = GAP + i % columns * (wide + GAP), GAP + i // columns * step
        frame = PLAIN if cell.right is None else RIGHT if cell.right else WRONG
        pen.rectangle((left, top, left + wide - 1, top + high - 1), fill=frame)
        sheet.paste(picture, (left + FRAME, top + FRAME))
        for j, line in enumerate(lines):
            pen.text((left, top + high + j * LINE), line, fill=(40, 40, 40), font=_font())
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Writes a sheet as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as scratch:
        sheet.save(scratch, format="PNG")
