"""The report: one page that holds everything, whatever it is given."""

import json
import re
from math import inf
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.reports.report import loss_chart, write_report
from tests.evals.page import Page

METRICS: dict[str, Any] = {
    "scale": "demo",
    "command": "python demo.py --scale demo",
    "cpus": 2,
    "seconds": 1500.0,
    "geneval/overall": 0.61,
    "vqa/accuracy": 0.99,
    "editing/accuracy": 0.3,
    "codebook/used": 0.5,
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures as evals.playground.example_images writes them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (48, 48), "red").save(folder / f"{name}.png")
    drawing = {"file": "a.png", "category": "colors", "reasons": ["saw a blue star at (3, 4)", "more"]}
    shown = {
        "drawings": [
            {**drawing, "prompt": "<b>a ring", "ok": False},
            {**drawing, "prompt": "a star", "ok": True},
        ],
        "reconstructions": [{"real": "a.png", "whole": "b.png", "stem": "c.png"}],
        "edits": [
            {"before": "a.png", "image": "b.png", "truth": "c.png", "instruction": "make it red", "ok": True}
        ],
    }
    (folder / "pictures.json").write_text(json.dumps(shown))
    return folder


def make_run(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "metrics.csv").write_text(text)
    return folder


def test_page_holds_everything(tmp_path: Path, images: Path) -> None:
    csv = "step,train/loss,train/loss_draw,val/loss_draw\n9,5,4,\n19,3,2,\n19,,,2.5\n29,nan,1,\n39,1"  # a torn row
    runs = {"stage1": make_run(tmp_path / "stage1", csv), "stage2": tmp_path / "absent"}
    path = write_report(tmp_path, METRICS, runs, images)
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert path == tmp_path / "report.html"
    assert len(page.sources) == 2 + 3 + 2 and all(
        s.startswith("data:image/png;base64,") for s in page.sources
    )
    assert not re.search(r"https?://|<script|@import|url\(", html)
    assert "<b>a ring" in page.text and "saw a blue star" in page.text and "(3, 4)" not in page.text
    assert "1 of these 2 are right" in page.text and "draw 2.5" in page.text
    assert "25 minutes" in page.text and "stage2" not in page.text
    assert not list(tmp_path.glob("*.tmp"))


def test_cards_tell_whether_bounds_are_reached(tmp_path: Path, images: Path) -> None:
    html = write_report(tmp_path, METRICS, {}, images).read_text(encoding="utf-8")
    cards = dict(re.findall(r'class="name">([^<]*)<.*?class="bound">(.*?)</div>', html))
    assert "reached" in cards["GenEval"] and "goal reached" not in cards["GenEval"]
    assert "goal reached" in cards["Questions answered"]
    assert "without a bound" in cards["Edits exactly right"]
    assert "below the bound" in cards["Codes used"]
    html = write_report(tmp_path, METRICS | {"scale": "reference"}, {}, images).read_text(encoding="utf-8")
    assert html.count("below the bound") == 3


def test_other_pictures_and_no_scores(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (8, 8)).save(images / "some_grid.png")
    page = Page(write_report(tmp_path / "new", {}, {}, images).read_text(encoding="utf-8"))
    assert "some grid" in page.text and len(page.sources) == 1


def test_a_loss_chart_has_a_curve_and_the_last_value_of_each_loss() -> None:
    assert "1.5" in loss_chart("encoder", {"train/loss": [(0.0, inf), (9.0, 2.0)], "val/loss": [(9.0, 1.5)]})
    assert loss_chart("flat", {"train/loss": [(0.0, 0.0)]}).count('class="curve"') == 1
