"""Callbacks that draw: what a stage lacks is refused before training, and they draw as `python -m evals` does."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from callbacks.evaluation import Evaluation
from callbacks.genai_bench import GenAIBench
from callbacks.geneval import GenEval
from callbacks.samples import SampleGrids
from callbacks.self_enhancement import SelfEnhancement
from datamodules.document_datamodule import DocumentDataModule
from evals import __main__ as evals
from judges.assessment import Assessment, Verdict
from models.generation import SamplingConfig
from models.prompts import ILLUME_PLUS
from models.unified import Illume
from self_enhancement.dialogues import dialogue_sample, pair_sample
from self_enhancement.settings import RoundSettings
from tests.callbacks.test_evaluation import Stage, fit
from tests.callbacks.test_fidelity import Small, callback, small
from tests.fixtures import tiny_illume

__all__ = ["small", "tiny_illume"]  # fixtures

OWN = {"draw": {"cfg": 2.0, "temperature": 1.0, "top_k": 20, "top_p": 0.9}, "edit": {"cfg": 1.5, "top_k": 9}}
FEW = {"per_category": 1, "seeds": 1, "samples": 6}


class Starting(Stage):
    """A language stage, which takes its components from folders."""

    start_setting = "model.init_args.start"


def self_enhancement() -> SelfEnhancement:
    return SelfEnhancement(RoundSettings("no/shards", count=4))


DRAWING: dict[str, Callable[[], Callback]] = {
    "samples": SampleGrids,
    "evaluation": lambda: Evaluation(**FEW),
    "geneval": lambda: GenEval(prompts="playground", detector="playground", limit=2),
    "genai_bench": lambda: GenAIBench(prompts="playground", vlm="playground", limit=2),
    "self_enhancement": self_enhancement,
}


def refused(made: Callback, module: Stage) -> str:
    """What a callback says as training would begin."""
    trainer = SimpleNamespace(
        callbacks=[made], is_global_zero=True, datamodule=DocumentDataModule.__new__(DocumentDataModule)
    )
    with pytest.raises(ValueError, match="detokenizer") as printed:
        made.on_fit_start(trainer, module)
    return str(printed.value)


@pytest.mark.parametrize("name", DRAWING)
def test_a4_a_callback_that_draws_refuses_a_stage_without_a_detokenizer(
    name: str, tiny_illume: Illume
) -> None:
    tiny_illume.detokenizer = None
    said = refused(DRAWING[name](), Starting(tiny_illume))
    assert "has no detokenizer: set model.init_args.start.detokenizer to a model folder that holds it" in said
    assert "\n" not in said


def test_a4_fidelity_refuses_it_too(small: Small, tiny_illume: Illume) -> None:  # noqa: F811
    tiny_illume.detokenizer = None
    for settings in ({}, {"prompts": "data/prompts.txt"}):
        assert "model.init_args.start.detokenizer" in refused(callback(**settings), Starting(tiny_illume))


def test_a4_scores_of_a_stage_without_a_detokenizer_are_an_error_and_not_nothing(
    tiny_illume: Illume, tmp_path: Path
) -> None:
    tiny_illume.detokenizer = None
    module = Starting(tiny_illume)
    module._trainer = SimpleNamespace(
        global_step=1, default_root_dir=str(tmp_path), global_rank=0, world_size=1
    )
    with pytest.raises(ValueError, match="no detokenizer"):
        GenEval(prompts="playground", detector="playground", limit=2).scores(module)


@pytest.mark.parametrize("missing", ["encoder", "tokenizer", "detokenizer", "language", "text_tokenizer"])
def test_a4_each_component_that_is_missing_is_named(missing: str, tiny_illume: Illume) -> None:
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    setattr(tiny_illume, missing, None)
    asked = {
        "draw": (
            lambda: tiny_illume.draw_batch(["a"], [0]),
            ("tokenizer", "detokenizer", "language", "text_tokenizer"),
        ),
        "edit": (
            lambda: tiny_illume.edit_batch(image, ["a"], [0]),
            ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer"),
        ),
        "redraw": (lambda: tiny_illume.redraw_batch(image, ["a"], ["b"], [0]), ("encoder", "detokenizer")),
        "chat": (lambda: tiny_illume.chat([image[0], "a"]), ("encoder", "language", "text_tokenizer")),
        "ask": (lambda: tiny_illume.ask_batch(image, ["a"]), ("encoder", "language", "text_tokenizer")),
        "describe": (lambda: tiny_illume.describe_batch(image), ("encoder", "language", "text_tokenizer")),
        "assess": (lambda: tiny_illume.assess_batch(image, ["a"]), ("encoder", "language", "text_tokenizer")),
        "encode": (lambda: tiny_illume.encode(image), ("encoder", "tokenizer")),
        "features": (lambda: tiny_illume.features(image), ("encoder",)),
        "decode": (
            lambda: tiny_illume.decode(torch.zeros(1, 36, dtype=torch.long), [0]),
            ("tokenizer", "detokenizer"),
        ),
    }
    for name, (call, needs) in asked.items():
        if missing in needs:
            with pytest.raises(ValueError, match=f"no {missing}\\b.*takes: load a model folder") as printed:
                call()
            assert "\n" not in str(printed.value), name


def test_a12_evaluation_while_training_agrees_with_the_command(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.generation = tiny_illume.generation.override(OWN)
    trainer = fit(Stage(tiny_illume), tmp_path, Evaluation(**FEW, every_n_epochs=0), epochs=1)
    tiny_illume.eval().save_pretrained("model")
    sizes = [word for key, value in FEW.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    evals.main(["--model", "model", "--out", "report.json", *sizes])
    report = json.loads(Path("report.json").read_text())
    logged = {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}
    assert logged and logged == pytest.approx({name: report[name] for name in logged}, abs=1e-6)
    assert {"fd_encoder"} | set(logged) <= set(report)
    used = {"cfg": 2.0, "temperature": 1.0, "top_k": 20, "top_p": 0.9}
    assert {name: report[name] for name in used} == used
    assert (report["edit_cfg"], report["edit_top_k"], report["edit_temperature"]) == (1.5, 9, 0.3)
    noted = json.loads(Path("sampling.json").read_text())
    assert noted["Evaluation geneval"] == used and noted["Evaluation editing"]["top_k"] == 9


def test_a12_a_benchmark_while_training_draws_the_commands_pictures(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.generation = tiny_illume.generation.override(OWN)
    fit(
        Stage(tiny_illume),
        tmp_path,
        GenEval(prompts="playground", detector="playground", limit=2, batch=2),
        epochs=1,
    )
    tiny_illume.eval().save_pretrained("model")
    which = ["--suite", "geneval", "--prompts", "playground", "--detector", "playground", "--limit", "2"]
    evals.main([*which, "--model", "model", "--images", "images", "--seeds", "1", "--batch", "2"])
    (folder,) = Path("geneval").glob("step-*")
    pictures = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    assert len(pictures) == 2
    assert all((folder / path).read_bytes() == (Path("images") / path).read_bytes() for path in pictures)
    here, there = (json.loads((place / "drawn.json").read_text()) for place in (folder, Path("images")))
    assert (
        {name: here[name] for name in OWN["draw"]}
        == {name: there[name] for name in OWN["draw"]}
        == OWN["draw"]
    )


def test_a12_overrides_win_and_are_written_down(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    which = ["--suite", "geneval", "--prompts", "playground", "--detector", "playground", "--limit", "1"]
    where = ["--model", "model", "--images", "images", "--seeds", "1"]
    evals.main([*which, *where, "--top-k", "5", "--cfg", "1"])
    report = json.loads(Path("report.json").read_text())
    assert [report[name] for name in ("cfg", "temperature", "top_k", "top_p")] == [1.0, 0.6, 5, 1.0]
    with pytest.raises(SystemExit):  # the folder holds what was drawn otherwise
        evals.main([*which, *where, "--top-k", "6", "--cfg", "1"])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: SampleGrids(sampling=SamplingConfig(cfg=200)), "cfg 200 is out of range"),
        (
            lambda: GenEval(prompts="playground", detector="playground", sampling=SamplingConfig(top_p=0)),
            "top_p 0 is out of range",
        ),
        (lambda: Evaluation(edit_sampling=SamplingConfig(top_k=-1)), "top_k -1 is out of"),
        (lambda: Evaluation(measures=["vqas"]), "Evaluation: measure 'vqas' is not known: did you mean vqa"),
        (
            lambda: RoundSettings("x", count=4, sampling=SamplingConfig(temperature=11)),
            "temperature 11 is out of",
        ),
    ],
)
def test_a12_what_makes_no_sense_is_refused_as_a_callback_is_made(made: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made()


def test_a12_a_top_k_beyond_the_codebook_is_refused_before_training(
    tiny_illume: Illume, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="SampleGrids: top_k 65 is out of range: this model has 64 codes"):
        fit(Stage(tiny_illume), tmp_path, SampleGrids(sampling=SamplingConfig(top_k=65)), epochs=1)


def test_a4_measures_narrow_what_an_evaluation_wants(tiny_illume: Illume, tmp_path: Path) -> None:
    tiny_illume.detokenizer = None
    trainer = fit(Stage(tiny_illume), tmp_path, Evaluation(**FEW, measures=["vqa"]), epochs=1)
    assert "vqa/accuracy" in trainer.callback_metrics and "geneval/overall" not in trainer.callback_metrics


def test_a12_a15_a_round_draws_and_writes_as_its_model_does(tmp_path: Path) -> None:
    settings = RoundSettings("no/shards", count=4, sampling=SamplingConfig(top_k=3))
    assert settings.resolve(SamplingConfig(2.0, 1.0, 20, 0.9)).sampling == SamplingConfig(2.0, 1.0, 3, 0.9)
    right = {"object": Verdict(ok=True, reason="")}
    opinion = Assessment(rationale="a cat", verdicts=right, score=9, overall=True)
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for better, printed in ((None, ["assess"]), (("png", b""), ["assess", "redraw"])):
        sample = dialogue_sample(image, "a cat", opinion, better, ILLUME_PLUS)
        asked = [part["text"] for part in json.loads(sample["json"])["parts"] if not part.get("learn", True)]
        assert asked == [ILLUME_PLUS.fill(name, "a cat") for name in printed]
    parts = json.loads(pair_sample("a cat", ("png", b""), ILLUME_PLUS)["json"])["parts"]
    assert parts[0]["text"] == ILLUME_PLUS.fill("draw", "a cat")
