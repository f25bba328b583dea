"""Emu Edit and MagicBrush while training: what is logged is what the command finds on the same results."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import callbacks
from callbacks.editing import EditingBenchmark
from evals.__main__ import main
from models.unified import Illume
from tests.callbacks.drawn_alike import unlike, without_model
from tests.callbacks.test_evaluation import Decoding, Stage, fit
from tests.evals.editing.tiny_sets import save_dino, save_emu_edit, save_magicbrush
from tests.evals.geneval.tiny_networks import save_clip
from training.metrics_file import read_rows

NETWORKS = {"clip": "clip", "dino": "dino", "seed": 3}
EMU = {"suite": "emu_edit", "data": "emu", "limit": 1, **NETWORKS}
BRUSH = {"suite": "magicbrush", "data": "brush", "multi_turn": True, "limit": 1, **NETWORKS}
MEASURES = ("dino", "clip_i", "clip_t", "clip_dir", "l1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with both test sets and the networks."""
    monkeypatch.chdir(tmp_path)
    save_clip(tmp_path / "clip")
    save_dino(tmp_path / "dino")
    save_emu_edit(tmp_path / "emu")
    save_magicbrush(tmp_path / "brush", {"139": ["add a cow", "make it red"]})
    return tmp_path


def report(suite: str, images: Path, *words: str) -> dict[str, Any]:
    data = {"emu_edit": "emu", "magicbrush": "brush"}[suite]
    networks = ["--clip", "clip", "--dino", "dino", "--limit", "1", "--out", "r.json"]
    main(["--suite", suite, "--data", data, "--images", str(images), *networks, *words])
    return json.loads(Path("r.json").read_text())


def logged(folder: Path, suite: str) -> dict[str, float]:
    (row,) = [row for row in read_rows(folder / "metrics.csv")[1] if row.get(f"{suite}/l1")]
    return {name: float(value) for name, value in row.items() if name.startswith(f"{suite}/") and value}


def test_it_logs_what_the_command_finds_in_the_runs_own_results(tiny_illume: Illume, place: Path) -> None:
    both = (EditingBenchmark(**EMU), EditingBenchmark(**BRUSH))
    fit(Stage(tiny_illume), place, *both, epochs=1)
    emu, brush = (place / suite / "step-0000002" for suite in ("emu_edit", "magicbrush"))
    assert [path.name for path in emu.glob("*.png")] == ["7.png"]
    assert sorted(path.name for path in brush.glob("139/*")) == [
        f"139_{n}.png" for n in ("1", "inde_2", "iter_2")
    ]
    for suite, folder, others, words in (
        ("emu_edit", emu, "/add", []),
        ("magicbrush", brush, "/multi_turn", ["--multi-turn"]),
    ):
        found = logged(place, suite)
        assert found.keys() == {f"{suite}{other}/{m}" for other in ("", others) for m in MEASURES}
        next(folder.glob("scores-*.jsonl")).unlink()
        said = report(suite, folder, *words)
        assert found == pytest.approx({name: said[name] for name in found}, rel=1e-6) and said["seed"] == 3
    tiny_illume.save_pretrained("model")
    report("emu_edit", place / "own", "--model", "model", "--seed", "3")
    assert without_model(place / "own") == without_model(emu)
    assert unlike(place / "own/7.png", emu / "7.png") < 0.001  # the command makes the same


def test_a_checkpoint_holds_the_state_of_both(place: Path) -> None:
    assert EditingBenchmark(**EMU).state_key != EditingBenchmark(**BRUSH).state_key


def test_a_stage_that_cannot_edit_is_refused(tiny_illume: Illume, place: Path) -> None:
    with pytest.raises(
        ValueError, match="EditingBenchmark cannot work on this stage, whose model has no lang"
    ):
        fit(Decoding(tiny_illume), place, EditingBenchmark(**EMU), epochs=1)
    assert not (place / "emu_edit").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (EMU | {"suite": "emuedit"}, "suite 'emuedit' is not known: did you mean emu_edit"),
        (EMU | {"multi_turn": True}, "multi_turn of magicbrush alone"),
        (BRUSH | {"split": "test"}, "split is of emu_edit alone"),
        (EMU | {"limit": 0}, "EditingBenchmark: limit and batch are at least 1"),
        (EMU | {"split": "validation"}, r"emu holds no validation-\*.parquet"),
        (BRUSH | {"data": "emu"}, "emu/edit_sessions.json is not there"),
        (EMU | {"clip": "dino"}, "--clip dino is a vit: give a CLIP"),
        (BRUSH | {"dino": "no/such/one"}, "--dino no/such/one: there is no such folder"),
    ],
)
def test_what_is_wrong_is_said_before_training(
    tiny_illume: Illume, place: Path, settings: dict[str, Any], says: str
) -> None:
    module = Stage(tiny_illume)
    with pytest.raises((FileNotFoundError, ValueError), match=says):
        fit(module, place, EditingBenchmark(**settings), epochs=1)
    assert not module.noise, "a step was trained"


def test_the_config_names_the_callbacks_own_settings() -> None:
    config = Path(callbacks.__file__).parents[1] / "configs/editing.yaml"
    found = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    assert [one["init_args"]["suite"] for one in found] == ["emu_edit", "magicbrush"]
    for one, missing in zip(found, ("data/emu_edit_test_set", "data/MagicBrush/test"), strict=True):
        assert one["class_path"] == "callbacks.editing.EditingBenchmark"
        with pytest.raises(FileNotFoundError, match=missing):
            EditingBenchmark(**one["init_args"])
