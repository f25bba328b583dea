"""Grids of images."""

from pathlib import Path

import numpy as np
from PIL import Image

from common.image_grid import CELL, GAP, make_grid, save_image


def test_a_grid_is_near_square_and_enlarged(tmp_path: Path) -> None:
    colours = ["red", "green", "blue"]
    sheet = np.asarray(make_grid([Image.new("RGB", (48, 48), colour) for colour in colours]))
    step = CELL + GAP
    assert sheet.shape == (CELL + step, CELL + step, 3)
    assert (sheet[:CELL, :CELL] == (255, 0, 0)).all() and (sheet[step:, :CELL] == (0, 0, 255)).all()
    assert (sheet[step:, step:] == 255).all() and (sheet[:, CELL:step] == 255).all()
    save_image(Image.fromarray(sheet), tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").size == (CELL + step, CELL + step)
