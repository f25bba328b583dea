"""Example images of an evaluation, and their pictures.json."""

import json
from pathlib import Path

import torch

from evals.playground.editing import edit_and_judge
from evals.playground.example_images import write_example_images
from evals.playground.geneval import draw_and_judge
from evals.playground.reconstruction import Reconstructions
from evals.reports.report import write_report
from tests.evals.playground.oracle import Oracle


def test_the_first_images_of_each_kind_are_written_and_a_report_reads_them(tmp_path: Path) -> None:
    drawings, edits = draw_and_judge(Oracle(), 8, 2), edit_and_judge(Oracle(), 40)
    images = torch.zeros(12, 3, 48, 48, dtype=torch.uint8)
    write_example_images(tmp_path / "images", drawings, Reconstructions([], images, images, None), edits, 8)
    shown = json.loads((tmp_path / "images/pictures.json").read_text())
    assert [len(shown[kind]) for kind in ("drawings", "reconstructions", "edits")] == [2 * 6, 2, 4]
    assert len({drawing["prompt"] for drawing in shown["drawings"]}) == 12, "a prompt is shown once"
    assert shown["reconstructions"][1] == {"real": "real-1.png", "whole": "whole-1.png"}
    assert shown["edits"][0]["ok"] and shown["edits"][0]["truth"] == "edit-0-truth.png"
    page = write_report(tmp_path, {}, {}, tmp_path / "images").read_text(encoding="utf-8")
    assert "4 of these 4 are right" in page and page.count("data:image/png") == 12 + 2 * 2 + 4 * 2
