"""GenAI-Bench during training: it logs the scores that the command reports of the same drawings."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import callbacks
from callbacks.genai_bench import GenAIBench
from evals.__main__ import main
from models.unified import Illume
from tests.callbacks.drawn_alike import unlike, without_model
from tests.callbacks.test_evaluation import Decoding, Stage, fit
from tests.evals.command_line import record_calls
from tests.evals.genai_bench.test_prompts import save_prompts
from tests.evals.genai_bench.tiny_vlms import save_clip_t5, save_llava
from training.metrics_file import read_rows

TEXTS = {"00000": "a red cow", "00001": "two cat", "00002": "a dog", "00003": "all red"}
SKILLS = {"basic": [0, 2], "attribute": [0], "spatial relation": [2], "advanced": [1, 3], "counting": [1]}
OURS = {"prompts": "prompts", "vlm": "llava", "limit": 3, "seed": 3, "batch": 2}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with prompts and a VLM."""
    monkeypatch.chdir(tmp_path)
    save_prompts(tmp_path / "prompts", TEXTS, SKILLS)
    save_llava(tmp_path / "llava")
    return tmp_path


def report(*words: str) -> dict[str, Any]:
    main(["--suite", "genai_bench", "--prompts", "prompts", "--limit", "3", "--out", "r.json", *words])
    return json.loads(Path("r.json").read_text())


@pytest.mark.parametrize("vlm", ["llava", "clip_t5"])
def test_it_logs_what_the_command_reports_of_its_drawings(tiny_illume: Illume, place: Path, vlm: str) -> None:
    if vlm == "clip_t5":
        save_clip_t5(place / vlm)
    fit(Stage(tiny_illume), place, GenAIBench(**OURS | {"vlm": vlm}), epochs=1)
    folder = place / "genai_bench/step-0000002"
    (row,) = [row for row in read_rows(place / "metrics.csv")[1] if row.get("genai/overall")]
    logged = {name: float(value) for name, value in row.items() if name.startswith("genai/") and value}
    skills = ("overall", "basic", "advanced", "attribute", "spatial_relation", "counting")
    assert logged.keys() == {f"genai/{skill}" for skill in skills} and int(row["step"]) == 1
    next(folder.glob("scores-*.jsonl")).unlink()
    reported = report("--images", str(folder), "--vlm", vlm)
    assert logged == pytest.approx({name: reported[name] for name in logged}, rel=1e-6)
    assert reported["samples"] == 3 and reported["seed"] == 3
    tiny_illume.save_pretrained("model")
    report("--images", "own", "--vlm", vlm, "--model", "model", "--seed", "3")
    for name in ("00000.jpeg", "00001.jpeg", "00002.jpeg"):  # the command draws the same
        assert unlike(folder / name, place / "own" / name) < 0.001
    assert without_model(folder) == without_model(place / "own")


def test_existing_drawings_are_not_drawn_again(
    tiny_illume: Illume, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(Stage(tiny_illume), place, GenAIBench(**OURS), epochs=1)
    (place / "genai_bench/step-0000002/00001.jpeg").unlink()
    drawn = record_calls(monkeypatch, Illume, "draw_batch", lambda prompts, seeds, _: seeds)
    again = fit(Stage(tiny_illume), place, GenAIBench(**OURS), epochs=1)
    assert drawn == [3 * 1_000_003 + 1]
    assert again.callback_metrics["genai/overall"] == first.callback_metrics["genai/overall"]


def test_drawings_of_other_settings_are_refused(tiny_illume: Illume, place: Path) -> None:
    fit(Stage(tiny_illume), place, GenAIBench(**OURS | {"limit": 1}), epochs=1)
    with pytest.raises(ValueError, match="drawn with seed 3 and not 4: name another folder"):
        fit(Stage(tiny_illume), place, GenAIBench(**OURS | {"limit": 1, "seed": 4}), epochs=1)


def test_a_stage_that_cannot_draw_is_refused(tiny_illume: Illume, place: Path) -> None:
    with pytest.raises(ValueError, match="GenAIBench cannot work on this stage, whose model has no language"):
        fit(Decoding(tiny_illume), place, GenAIBench(**OURS), epochs=1)
    assert not (place / "genai_bench").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": "none"}, "none/genai_image.json is not there"),
        ({"prompts": "playground"}, "go together"),
        ({"vlm_tokenizer": "llava"}, "--vlm-tokenizer is CLIP-FlanT5's, which llava is not"),
        ({"limit": 0}, "GenAIBench: limit 0 is out of range: a whole number from 1"),
        ({"batch": 0}, "GenAIBench: batch 0 is out of range: a whole number from 1"),
        ({"vlm": "no/such/one"}, "--vlm no/such/one: there is no such folder"),
        ({"vlm": "prompts"}, "--vlm prompts: does not load"),
    ],
)
def test_wrong_settings_are_refused_before_training(
    tiny_illume: Illume, place: Path, wrong: dict[str, Any], message: str
) -> None:
    module = Stage(tiny_illume)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        fit(module, place, GenAIBench(**OURS | wrong), epochs=1)
    assert not module.noise, "a step was trained"


def test_prompts_without_any_skill_are_refused(place: Path) -> None:
    save_prompts(place / "prompts", TEXTS, {"basic": [3]})
    with pytest.raises(ValueError, match="none of these 3 prompts has a skill"):
        GenAIBench(**OURS)


def test_the_config_has_the_callbacks_settings() -> None:
    config = Path(callbacks.__file__).parents[1] / "configs/genai_bench.yaml"
    (found,) = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    assert found["class_path"] == "callbacks.genai_bench.GenAIBench"
    with pytest.raises(FileNotFoundError, match=r"data/GenAI-Bench-1600/genai_image.json"):
        GenAIBench(**found["init_args"])
