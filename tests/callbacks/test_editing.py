"""Emu Edit and MagicBrush during training: they log the measures that the command reports of the same results."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import callbacks
from callbacks.editing import EmuEdit, MagicBrush
from evals.__main__ import main
from models.unified import Illume
from tests.callbacks.drawn_alike import unlike, without_model
from tests.callbacks.test_evaluation import Decoding, Stage, fit
from tests.evals.editing.tiny_sets import save_dino, save_emu_edit, save_magicbrush
from tests.evals.geneval.tiny_networks import save_clip
from training.metrics_file import read_rows

NETWORKS = {"clip": "clip", "dino": "dino", "seed": 3}
EMU = {"data": Path("emu"), "limit": 1, **NETWORKS}
BRUSH = {"data": Path("brush"), "multi_turn": True, "limit": 1, **NETWORKS}
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


def test_they_log_what_the_command_reports_of_their_results(tiny_illume: Illume, place: Path) -> None:
    both = (EmuEdit(**EMU), MagicBrush(**BRUSH))
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
        reported = report(suite, folder, *words)
        assert found == pytest.approx({name: reported[name] for name in found}, rel=1e-6)
        assert reported["seed"] == 3
    tiny_illume.save_pretrained("model")
    report("emu_edit", place / "own", "--model", "model", "--seed", "3")
    assert without_model(place / "own") == without_model(emu)
    assert unlike(place / "own/7.png", emu / "7.png") < 0.001  # the command makes the same


def test_a_checkpoint_holds_the_state_of_both(place: Path) -> None:
    assert EmuEdit(**EMU).state_key != MagicBrush(**BRUSH).state_key


def test_a_stage_that_cannot_edit_is_refused(tiny_illume: Illume, place: Path) -> None:
    with pytest.raises(ValueError, match="EmuEdit cannot work on this stage, whose model has no lang"):
        fit(Decoding(tiny_illume), place, EmuEdit(**EMU), epochs=1)
    assert not (place / "emu_edit").exists()


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (EmuEdit, EMU | {"multi_turn": True}, "unexpected keyword argument 'multi_turn'"),
        (MagicBrush, BRUSH | {"split": "test"}, "unexpected keyword argument 'split'"),
        (EmuEdit, EMU | {"limit": 0}, "EmuEdit: limit 0 is out of range: a whole number from 1"),
        (EmuEdit, EMU | {"split": "validation"}, r"emu holds no validation-\*.parquet"),
        (EmuEdit, EMU | {"split": "tst"}, "split 'tst' is not known: did you mean test"),
        (MagicBrush, BRUSH | {"data": Path("emu")}, "emu/edit_sessions.json is not there"),
        (EmuEdit, EMU | {"clip": "dino"}, "--clip dino is a vit: give a CLIP"),
        (MagicBrush, BRUSH | {"dino": "no/such/one"}, "--dino no/such/one: there is no such folder"),
    ],
)
def test_wrong_settings_are_refused_before_training(
    tiny_illume: Illume, place: Path, kind: type[EmuEdit], settings: dict[str, Any], message: str
) -> None:
    module = Stage(tiny_illume)
    with pytest.raises((FileNotFoundError, ValueError, TypeError), match=message):
        fit(module, place, kind(**settings), epochs=1)
    assert not module.noise, "a step was trained"


def test_the_config_has_the_callbacks_settings() -> None:
    config = Path(callbacks.__file__).parents[1] / "configs/editing.yaml"
    found = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    paths = {EmuEdit: "data/emu_edit_test_set", MagicBrush: "data/MagicBrush/test"}
    assert [one["class_path"] for one in found] == [f"callbacks.editing.{kind.__name__}" for kind in paths]
    for one, (kind, missing) in zip(found, paths.items(), strict=True):
        with pytest.raises(FileNotFoundError, match=missing):
            kind(**one["init_args"] | {"data": Path(one["init_args"]["data"])})  # as jsonargparse converts it
