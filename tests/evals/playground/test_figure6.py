"""Figure 6 from a made-up history: every curve of both branches, in well-formed SVG."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from evals.playground.figure6 import branch_scores, draw_figure
from models.unified import Illume

COLUMNS = [f"{m}_{branch}" for m in ("val/loss_draw", "val/loss_share", "geneval/overall", "geneval/rebuilt")
           for branch in ("semantic", "pixel")]  # fmt: skip


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Three validations and two scorings, between rows of training that have no count of images."""
    lines = [",".join(["step", "train/loss", "images", *COLUMNS]), "9,5.5" + "," * 9]
    for step, images in ((99, 3200), (199, 6400), (299, 9600)):
        nats = 600 / step
        lines.append(f"{step},,{images}.0,{nats},{1.5 * nats},{nats / 6},{nats / 4},,,,")
    for images, score in ((6400, 0.25), (9600, 0.5)):
        lines.append(f"{images // 32},,{images}.0,,,,,{score},{score / 2},0.95,0.85")
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def panels(svg: str) -> list[ET.Element]:
    return [g for g in ET.fromstring(svg).findall(".//{*}g") if g.get("id", "").startswith("axes_")]


def ends(panel: ET.Element) -> list[str]:
    """Where the curves of a panel end: x, y."""
    curves = [g.find("{*}path").get("d").split()[-2:] for g in panel if g.get("id") == "class:curve"]
    return [" ".join(curve) for curve in curves]


def test_it_draws_both_branches_over_equal_images(metrics: Path) -> None:
    svg = draw_figure(metrics)
    loss, share, score = panels(svg)
    assert [len(ends(panel)) for panel in (loss, share, score)] == [2, 2, 4]
    for panel in (loss, score):
        assert len({end.split()[0] for end in ends(panel)}) == 1, (
            "both branches end at the same number of images"
        )
    text = " ".join("".join(text.itertext()) for text in ET.fromstring(svg).findall(".//{*}text"))
    assert "images seen" in text and "not of one unit" in text
    assert "semantic 2.01, pixel 3.01" in text and "semantic 0.50, pixel 0.25" in text


def test_a_panel_without_curves_is_left_out(metrics: Path) -> None:
    columns = "step,images,val/loss_share_pixel,geneval/overall_pixel"
    metrics.write_text(f"{columns}\n9,320,inf,\n9,320,,0.5\n")  # a codebook that collapsed has no entropy
    assert len(panels(draw_figure(metrics))) == 1


def test_a_file_without_its_curves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n9,1.0\n")
    with pytest.raises(ValueError, match="lacks curves over images"):
        draw_figure(tmp_path / "metrics.csv")


def test_rebuilt_scores_are_those_of_the_codes_and_not_of_the_drawings(
    monkeypatch: pytest.MonkeyPatch, tiny_illume: Illume
) -> None:
    scenes: list[torch.Tensor] = []
    monkeypatch.setattr(Illume, "encode", lambda self, images: scenes.append(images) or images)
    monkeypatch.setattr(Illume, "decode", lambda self, codes, seeds, steps=None: codes)
    monkeypatch.setattr(
        Illume, "draw_batch", lambda self, prompts, *_: torch.zeros(len(prompts), 3, 48, 48).byte()
    )
    assert branch_scores(tiny_illume, 2, 1, 0) == {"overall": 0.0, "rebuilt": 1.0}
    assert scenes[0].shape == (12, 3, 48, 48)
