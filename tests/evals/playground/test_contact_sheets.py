"""Contact sheets of an evaluation."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from evals.contact_sheet import RIGHT, WRONG
from evals.playground.contact_sheets import drawing_sheets, reconstruction_sheet, story_sheet
from evals.playground.geneval import draw_and_judge
from evals.playground.reconstruction import Reconstructions
from judges.pixels import to_numpy
from tests.evals.playground.oracle import Oracle
from worlds.playground.scene import CATEGORIES


def test_drawings_have_a_sheet_for_each_category_framed_by_verdict() -> None:
    drawings = draw_and_judge(Oracle(), 8, 1)
    sheets = drawing_sheets([replace(one, ok=i % 2 == 0) for i, one in enumerate(drawings)], count=8)
    assert list(sheets) == list(CATEGORIES)
    colours = {colour for sheet in sheets.values() for _, colour in sheet.getcolors(1 << 20)}
    assert {RIGHT, WRONG} <= colours


def test_a_reconstruction_has_a_row_of_the_stem_only_where_there_is_one() -> None:
    images = torch.zeros(8, 3, 48, 48, dtype=torch.uint8)
    heights = [
        reconstruction_sheet(Reconstructions([], images, images, stem), 1).height for stem in (images, None)
    ]
    assert heights[0] / heights[1] > 1.4


def test_stories_show_each_image_under_the_text_before_it() -> None:
    class Teller:
        def chat(self, turn: list[str], seed: int) -> list[str | Image.Image]:
            return ["and then", Image.new("RGB", (48, 48), "red"), "the end"]

    class Silent:
        def chat(self, turn: list[str], seed: int) -> list[str | Image.Image]:
            return ["the end"]

    assert story_sheet(Silent()) is None
    pixels = np.asarray(story_sheet(Teller(), 3))
    assert (pixels == (255, 0, 0)).all(-1).sum() == 3 * 144 * 144


def test_images_of_a_sheet_are_those_of_the_drawings() -> None:
    drawing = draw_and_judge(Oracle(), 8, 1)[0]
    sheet = np.asarray(drawing_sheets([drawing])[drawing.prompt.spec.category])
    pixels = to_numpy(drawing.image[None])[0].repeat(3, 0).repeat(3, 1)
    assert np.array_equal(sheet[12 : 12 + 144, 12 : 12 + 144], pixels)
