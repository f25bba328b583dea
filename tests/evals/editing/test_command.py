"""The whole path from the command line on both test sets: drawn, killed, measured, and what a user gets wrong."""

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

from evals.__main__ import main
from evals.editing import command
from evals.editing.magicbrush import read_magicbrush
from evals.editing.measures import Measures
from models.image_input import ImageInput
from models.unified import Illume
from tests.evals.editing.tiny_sets import EDITS, picture, save_dino, save_emu_edit, save_magicbrush
from tests.evals.geneval.tiny_networks import save_clip

EMU = ["--suite", "emu_edit", "--data", "emu", "--images", "results", "--clip", "clip", "--dino", "dino"]
BRUSH = ["--suite", "magicbrush", "--data", "brush", "--images", "edited", "--clip", "clip", "--dino", "dino"]
MEASURES = ("dino", "clip_i", "clip_t", "clip_dir", "l1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("editing")
    save_clip(folder / "clip")
    save_dino(folder / "dino")
    return folder


@pytest.fixture
def place(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with both test sets, networks, and results of Emu Edit by somebody else."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip", "dino"):
        (tmp_path / name).symlink_to(base / name)
    save_emu_edit(tmp_path / "emu")
    save_magicbrush(tmp_path / "brush")
    (tmp_path / "results").mkdir()
    for row in EDITS:
        picture(10 + row["idx"], (48, 48)).save(f"results/{row['idx']}.png")
    return tmp_path


def run(*words: str) -> dict[str, Any]:
    main(["--out", "r.json", *words])
    return json.loads(Path("r.json").read_text())


def without_time(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"seconds": 0}


def kept(folder: str, report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    lines = (Path(folder) / report["results"]).read_text().splitlines()
    return {said["name"]: said["numbers"] for said in map(json.loads, lines)}


def test_results_that_are_there_are_measured(place: Path) -> None:
    report = run(*EMU)
    numbers = kept("results", report)
    for measure in ("dino", "clip_i", "clip_t", "l1"):
        values = [numbers[f"{row['idx']}.png"][measure] for row in EDITS]
        assert report[f"emu_edit/{measure}"] == pytest.approx(np.mean(values))
        assert report[f"emu_edit/{measure}/low"] <= report[f"emu_edit/{measure}"]
        assert report[f"emu_edit/add/{measure}"] == pytest.approx((values[0] + values[2]) / 2)
        assert report[f"emu_edit/color/{measure}"] == pytest.approx(values[1])
    assert numbers["9.png"]["clip_dir"] is None and report["emu_edit/clip_dir/samples"] == 2
    assert report["samples"] == 3 and report["emu_edit/add/samples"] == 2 and report["suite"] == "emu_edit"
    assert report["clip"].startswith("clip (") and report["dino_network"].startswith("dino (")
    assert "image before the edit" in report["protocol"] and report["seed"] is None


def test_measuring_goes_on_where_it_was_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("results", "other")
    whole = run(*EMU, "--images", "other")
    measured: list[str] = []
    of = Measures.of

    def watched(self: Measures, image: Image.Image, one: Any) -> Any:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(one.name)
        return of(self, image, one)

    with monkeypatch.context() as patch:
        patch.setattr(Measures, "of", watched)
        with pytest.raises(SystemExit):
            run(*EMU)
        measured.append("killed")
        assert without_time(run(*EMU)) == without_time(whole)
    assert sorted(measured) == ["3.png", "7.png", "9.png", "killed"]
    assert (Path("results") / whole["results"]).read_bytes() == (
        Path("other") / whole["results"]
    ).read_bytes()


class Editor:
    """Turns images by their seed, and can be killed at any of them."""

    device = torch.device("cpu")
    image_input = ImageInput(16)

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.seeds, self.sources = most, [], []

    def edit_batch(
        self, images: Tensor, instructions: Sequence[str], seeds: list[int], sampling: object
    ) -> Tensor:
        if len(self.seeds) + len(seeds) > self.most:
            raise KeyboardInterrupt
        self.seeds += seeds
        self.sources += list(images)
        return torch.stack([255 - image.roll(seed, 1) for image, seed in zip(images, seeds, strict=True)])


RECORD = {"seed": 2, "cfg": 1.0, "temperature": 0.3, "top_k": 0, "top_p": 1.0}


@pytest.mark.parametrize("after", [0, 2, 4])
def test_sessions_are_edited_turn_by_turn(tmp_path: Path, after: int) -> None:
    data = save_magicbrush(tmp_path / "brush")

    def edited(folder: str, editor: Editor) -> Path:
        benchmark = read_magicbrush(data, tmp_path / folder, True, None)
        results = command.folder_of(tmp_path / folder, benchmark, RECORD, 2)
        results.fill(command.edits(editor, RECORD), 2)
        return tmp_path / folder

    editor = Editor()
    whole = edited("whole", editor)
    assert sorted(editor.seeds) == [2_000_006 + i for i in range(6)]
    with Image.open(whole / "139/139_iter_2.png") as second:
        before = ImageInput(16).square(second.convert("RGB"), "stretch")
    last = next(s for s, seed in zip(editor.sources, editor.seeds, strict=True) if seed == 2_000_006 + 5)
    assert torch.equal(last, before)  # the third goes on from the second result
    first, rest = Editor(after), Editor()
    with pytest.raises(KeyboardInterrupt):
        edited("cut", first)
    cut = edited("cut", rest)
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
    ("words", "says"),
    [
        (["--suite", "emu_edit", "--clip", "clip"], "--suite emu_edit needs --images and --data and --dino"),
        ([*EMU, "--multi-turn"], "--multi-turn is an option of --suite magicbrush, not of emu_edit"),
        ([*BRUSH, "--split", "test"], "--split is an option of --suite emu_edit, not of magicbrush"),
        ([*EMU, "--vlm", "x"], "--vlm is an option of --suite genai_bench, not of emu_edit"),
        ([*EMU, "--temperature", "1"], "--temperature is of drawing"),
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
def test_what_a_user_gets_wrong_is_one_line_before_work(
    place: Path, words: list[str], says: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--out", "r.json", *words])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line and not Path("r.json").exists() and not list(place.glob("**/scores-*"))


def test_missing_results_and_other_instructions(
    place: Path, tiny_illume: Illume, capsys: pytest.CaptureFixture
) -> None:
    Path("results/3.png").unlink()
    with pytest.raises(SystemExit):
        run(*EMU)
    assert "lacks 1 of 3 images, the first is 3:" in capsys.readouterr().err
    tiny_illume.save_pretrained("model")
    run(*EMU, "--model", "model", "--images", "own")
    save_emu_edit(place / "emu", [EDITS[0] | {"instruction": "add two cows"}, *EDITS[1:]])
    with pytest.raises(SystemExit):
        run(*EMU, "--model", "model", "--images", "own")
    assert "drawn with edits" in capsys.readouterr().err
