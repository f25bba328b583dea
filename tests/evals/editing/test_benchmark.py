"""Emu Edit and MagicBrush from the command line: drawn, interrupted, measured, and errors of users."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from evals.editing.benchmark import MagicBrushBenchmark
from evals.editing.measures import Measures
from evals.ranks import ALONE
from evals.settings import MagicBrushSettings
from models.generation import SamplingConfig
from models.image_input import ImageInput
from models.unified import Illume
from tests.evals.command_line import error_of, record_calls, run, run_interrupted
from tests.evals.editing.tiny_sets import EDITS, picture, save_emu_edit, save_magicbrush
from tests.evals.painter import RECORD

EMU = ["--suite", "emu_edit", "--data", "emu", "--images", "results", "--clip", "clip", "--dino", "dino"]
BRUSH = ["--suite", "magicbrush", "--data", "brush", "--images", "edited", "--clip", "clip", "--dino", "dino"]
MEASURES = ("dino", "clip_i", "clip_t", "clip_dir", "l1")


@pytest.fixture
def place(tmp_path: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with both test sets, networks, and results of Emu Edit by somebody else."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip", "dino"):
        (tmp_path / name).symlink_to(networks / name)
    save_emu_edit(tmp_path / "emu")
    save_magicbrush(tmp_path / "brush")
    (tmp_path / "results").mkdir()
    for row in EDITS:
        picture(10 + row["idx"], (48, 48)).save(f"results/{row['idx']}.png")
    return tmp_path


def stored_scores(folder: str, report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    lines = (Path(folder) / report["results"]).read_text().splitlines()
    return {row["name"]: row["scores"] for row in map(json.loads, lines)}


def test_results_that_are_there_are_measured(place: Path) -> None:
    report = run(*EMU)
    scores = stored_scores("results", report)
    for measure in ("dino", "clip_i", "clip_t", "l1"):
        values = [scores[f"{row['idx']}.png"][measure] for row in EDITS]
        assert report[f"emu_edit/{measure}"] == pytest.approx(np.mean(values))
        assert report[f"emu_edit/{measure}/low"] <= report[f"emu_edit/{measure}"]
        assert report[f"emu_edit/add/{measure}"] == pytest.approx((values[0] + values[2]) / 2)
        assert report[f"emu_edit/color/{measure}"] == pytest.approx(values[1])
    assert scores["9.png"]["clip_dir"] is None and report["emu_edit/clip_dir/samples"] == 2
    assert report["samples"] == 3 and report["emu_edit/add/samples"] == 2 and report["suite"] == "emu_edit"
    assert report["clip"].startswith("clip (") and report["dino_network"].startswith("dino (")
    assert "image before the edit" in report["protocol"] and report["seed"] is None


def test_measuring_goes_on_where_it_was_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("results", "other")
    whole = run(*EMU, "--images", "other")
    with monkeypatch.context() as patch:
        first = record_calls(patch, Measures, "measure", lambda image, one: [one.name], limit=1)
        run_interrupted(*EMU)
    with monkeypatch.context() as patch:
        second = record_calls(patch, Measures, "measure", lambda image, one: [one.name])
        assert run(*EMU) == whole
    assert len(first) == 1 and sorted(first + second) == ["3.png", "7.png", "9.png"]
    assert (Path("results") / whole["results"]).read_bytes() == (
        Path("other") / whole["results"]
    ).read_bytes()


class Editor:
    """Shifts images by their seed, and can be interrupted at any of them."""

    device = torch.device("cpu")
    image_input = ImageInput(16)

    def __init__(self, limit: int = 10**9) -> None:
        self.limit, self.seeds, self.sources = limit, [], []

    def edit_batch(
        self, images: Tensor, instructions: Sequence[str], seeds: list[int], sampling: SamplingConfig
    ) -> Tensor:
        if len(self.seeds) + len(seeds) > self.limit:
            raise KeyboardInterrupt
        self.seeds += seeds
        self.sources += list(images)
        return torch.stack([255 - image.roll(seed, 1) for image, seed in zip(images, seeds, strict=True)])


@pytest.mark.parametrize("after", [0, 2, 4])
def test_sessions_are_edited_turn_by_turn(tmp_path: Path, after: int) -> None:
    networks = {"clip": "clip", "dino": "dino"}
    data = save_magicbrush(tmp_path / "brush")
    settings = MagicBrushSettings(data=data, **networks, multi_turn=True, seed=2, batch=2)

    def edit(folder: str, editor: Editor) -> Path:
        MagicBrushBenchmark(settings, tmp_path / folder).fill(editor, RECORD, ALONE)
        return tmp_path / folder

    editor = Editor()
    whole = edit("whole", editor)
    assert sorted(editor.seeds) == [2_000_006 + i for i in range(6)]
    with Image.open(whole / "139/139_iter_2.png") as second:
        before = ImageInput(16).square(second.convert("RGB"), "stretch")
    last = next(s for s, seed in zip(editor.sources, editor.seeds, strict=True) if seed == 2_000_006 + 5)
    assert torch.equal(last, before)  # the third starts from the second result
    first, rest = Editor(after), Editor()
    with pytest.raises(KeyboardInterrupt):
        edit("cut", first)
    cut = edit("cut", rest)
    assert sorted(first.seeds + rest.seeds) == sorted(editor.seeds)
    for path in whole.rglob("*.png"):
        assert (cut / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_a_model_edits_both_sets(place: Path, tiny_illume: Illume) -> None:
    tiny_illume.save_pretrained("model")
    report = run(*EMU, "--model", "model", "--images", "own", "--seed", "3", "--limit", "2")
    assert sorted(path.name for path in Path("own").glob("*.png")) == ["3.png", "7.png"]
    assert report["seed"] == 3 and report["cfg"] == 1.0 and report["temperature"] == 0.3 and report["model"]
    assert {f"emu_edit/{measure}" for measure in MEASURES} <= report.keys() and report["samples"] == 2
    report = run(*BRUSH, "--model", "model", "--multi-turn")
    assert len(list(Path("edited").rglob("*.png"))) == 6 and report["samples"] == 5
    assert report["magicbrush/samples"] == 4 and report["magicbrush/multi_turn/samples"] == 2
    assert {
        f"{name}/{m}" for m in MEASURES for name in ("magicbrush", "magicbrush/multi_turn")
    } <= report.keys()
    again = run(*BRUSH)  # without the sessions, whose results may lie there
    assert again["magicbrush/l1"] == report["magicbrush/l1"] and "magicbrush/multi_turn/l1" not in again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*EMU, "--data", "none"], "none holds no test-*.parquet"),
        ([*EMU, "--split", "validation"], "emu holds no validation-*.parquet"),
        ([*BRUSH, "--data", "none"], "none/edit_sessions.json is not there"),
        ([*EMU, "--images", "none"], "none lacks 3 of 3 images"),
        ([*BRUSH, "--images", "results"], "results/3.png is one image too many: nothing here asks for it"),
        ([*EMU, "--clip", "dino"], "--clip dino is a vit: give a CLIP, best clip-vit-base-patch32"),
        ([*EMU, "--dino", "clip"], "--dino clip is a clip: give a DINO"),
        ([*EMU, "--dino", "dino@0123456789ab"], "and not 0123456789ab"),
        ([*EMU, "--model", "x"], "x is not a model folder"),
    ],
)  # fmt: skip
def test_errors_of_users_are_one_line_before_any_work(
    place: Path, words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert message in error_of(capsys, *words)
    assert not list(place.glob("**/scores-*"))


def test_missing_results_and_other_instructions(
    place: Path, tiny_illume: Illume, capsys: pytest.CaptureFixture
) -> None:
    Path("results/3.png").unlink()
    assert "lacks 1 of 3 images, the first is 3:" in error_of(capsys, *EMU)
    tiny_illume.save_pretrained("model")
    draw = [*EMU, "--model", "model", "--images", "own"]
    run(*draw)
    save_emu_edit(place / "emu", [EDITS[0] | {"instruction": "add two cows"}, *EDITS[1:]])
    assert "drawn with edits" in error_of(capsys, *draw)
