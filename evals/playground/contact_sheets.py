"""What an evaluation looks like on one page each: drawings by category, reconstructions, edits and stories."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.contact_sheet import Cell, contact_sheet
from evals.playground.editing import EditResult
from evals.playground.geneval import Drawing
from evals.playground.reconstruction import Reconstructions
from models.image_input import to_tensor
from models.unified import Illume
from worlds.playground.scene import CATEGORIES
from worlds.playground.stories import sample_story

COLUMNS = 8


def drawing_sheets(drawings: Sequence[Drawing], most: int = 48) -> dict[str, Image.Image]:
    """A sheet for each category: the first prompts in all their samples, framed by the judge's verdict."""
    sheets = {}
    for category in CATEGORIES:
        found = [d for d in drawings if d.prompt.spec.category == category][:most]
        if found:
            sheets[category] = contact_sheet([Cell(d.image, d.prompt.text, d.ok) for d in found], COLUMNS)
    return sheets


def edit_sheet(edited: Sequence[EditResult], most: int = 24) -> Image.Image:
    """Triples: before, with the instruction; edited, framed by the verdict; as it should be."""
    cells: list[Cell] = []
    for e in edited[:most]:
        cells += [Cell(e.before, e.edit.instruction), Cell(e.image, "edited", e.ok), Cell(e.after, "wanted")]
    return contact_sheet(cells, 9)


def reconstruction_sheet(rebuilt: Reconstructions, rows: int = 3) -> Image.Image:
    """Rows of originals, of the stem's images if there are any, and of what the whole detokenizer makes."""
    cells: list[Cell] = []
    columns = min(COLUMNS, len(rebuilt.real))
    for start in range(0, min(rows, len(rebuilt.real) // columns) * columns, columns):
        part = slice(start, start + columns)
        cells += [Cell(image, "original") for image in rebuilt.real[part]]
        if rebuilt.stem is not None:
            cells += [Cell(image, "stem alone") for image in rebuilt.stem[part]]
        cells += [Cell(image, "decoded") for image in rebuilt.whole[part]]
    return contact_sheet(cells, columns)


def story_sheet(model: Illume, count: int = 8, seed: int = 0) -> Image.Image | None:
    """Stories that the model goes on with by itself from their first sentence; None if it shows no image."""
    rng = np.random.default_rng([seed, 33])
    cells: list[Cell] = []
    for i in range(count):
        told = sample_story(rng)[0][0]
        for part in model.chat([told], seed=seed * 1_000_003 + 100 * i):
            if isinstance(part, str):
                told = f"{told} {part}".strip()
            else:
                cells.append(Cell(to_tensor(part), told or "..."))
                told = ""
    return contact_sheet(cells, COLUMNS) if cells else None
