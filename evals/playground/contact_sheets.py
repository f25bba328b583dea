"""Contact sheets of an evaluation: drawings by category, reconstructions, edits and stories."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evals.contact_sheet import Cell, contact_sheet
from evals.playground.editing import EditResult
from evals.playground.geneval import Drawing
from evals.playground.reconstruction import Reconstructions
from judges.pixels import image_to_tensor
from models.unified import Illume
from worlds.playground.scene import CATEGORIES
from worlds.playground.stories import sample_story

COLUMNS = 8


def drawing_sheets(drawings: Sequence[Drawing], count: int = 48) -> dict[str, Image.Image]:
    """A sheet for each category: the first prompts in all their samples, framed by the judge's verdict."""
    sheets = {}
    for category in CATEGORIES:
        cells = [Cell(d.image, d.prompt.text, d.ok) for d in drawings if d.prompt.spec.category == category]
        if cells:
            sheets[category] = contact_sheet(cells[:count], COLUMNS)
    return sheets


def edit_sheet(edits: Sequence[EditResult], count: int = 24) -> Image.Image:
    """Triples: before, with the instruction; edited, framed by the verdict; the target."""
    cells: list[Cell] = []
    for e in edits[:count]:
        cells += [Cell(e.before, e.edit.instruction), Cell(e.image, "edited", e.ok), Cell(e.after, "target")]
    return contact_sheet(cells, 9)


def reconstruction_sheet(rebuilt: Reconstructions, rows: int = 3) -> Image.Image:
    """Rows of originals, of the stem's images if there are any, and of what the whole detokenizer makes."""
    kinds = {"original": rebuilt.real, "stem alone": rebuilt.stem, "decoded": rebuilt.whole}
    columns = min(COLUMNS, len(rebuilt.real))
    cells = [
        Cell(image, kind)
        for start in range(0, min(rows, len(rebuilt.real) // columns) * columns, columns)
        for kind, images in kinds.items()
        if images is not None
        for image in images[start : start + columns]
    ]
    return contact_sheet(cells, columns)


def story_sheet(model: Illume, count: int = 8, seed: int = 0) -> Image.Image | None:
    """Stories that the model continues from their first sentence; None if it draws no image."""
    rng = np.random.default_rng([seed, 33])
    cells: list[Cell] = []
    for i in range(count):
        text = sample_story(rng)[0][0]
        for part in model.chat([text], seed=seed * 1_000_003 + 100 * i):
            if isinstance(part, str):
                text = f"{text} {part}".strip()
            else:
                cells.append(Cell(image_to_tensor(part), text or "..."))
                text = ""
    return contact_sheet(cells, COLUMNS) if cells else None
