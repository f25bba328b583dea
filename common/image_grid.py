"""A grid of small images for people to look at."""

from math import ceil, sqrt
from pathlib import Path

from PIL import Image

from common.files import atomic

CELL, GAP = 192, 6  # pixels: about the side that an image is shown at, and the white between two


def make_grid(images: list[Image.Image]) -> Image.Image:
    """Images of one size in a near-square grid, each enlarged pixel by pixel to about CELL."""
    zoom = max(1, round(CELL / images[0].width))
    width, height = (side * zoom + GAP for side in images[0].size)
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * width - GAP, rows * height - GAP), "white")
    for i, image in enumerate(images):
        large = image.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
        sheet.paste(large, (i % columns * width, i // columns * height))
    return sheet


def save_image(image: Image.Image, path: Path) -> None:
    """Writes an image whole or not at all, in the format of the file's name."""
    with atomic(path) as scratch:
        image.save(scratch, format=Image.registered_extensions()[path.suffix.lower()])
