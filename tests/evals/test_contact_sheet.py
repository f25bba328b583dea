"""Contact sheets."""

import torch
from PIL import Image

from evals.contact_sheet import RIGHT, WRONG, Cell, contact_sheet


def test_a_sheet_frames_right_and_wrong() -> None:
    cells = [Cell(torch.zeros(3, 48, 48, dtype=torch.uint8), "a red circle", ok) for ok in (True, False)]
    sheet: Image.Image = contact_sheet(cells, 1)
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert {RIGHT, WRONG} <= colours
    assert sheet.height > 2 * sheet.width - 40
