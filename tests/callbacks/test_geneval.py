"""GenEval during training: it logs the scores that the command reports of the same drawings."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

import callbacks
from callbacks.geneval import GenEval
from evals.__main__ import main
from evals.geneval import benchmark
from models.unified import Illume
from tests.callbacks.test_evaluation import Decoding, Stage, few, fit
from tests.evals.command_line import record_calls
from tests.ranks import forked
from training.metrics_file import read_rows

PLAYGROUND = {"prompts": "playground", "detector": "playground", "limit": 6}


def test_it_logs_what_the_command_reports_of_its_drawings(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        benchmark, "summary", lambda tasks: {"geneval/overall": 0.25, "geneval/overall/low": 0.125}
    )
    trainer = fit(Stage(tiny_illume), tmp_path, GenEval(**PLAYGROUND, seed=3), epochs=1)
    folder = tmp_path / "geneval/step-0000002"
    assert len(list(folder.glob("*/samples/0000.png"))) == 6
    assert json.loads((folder / "drawn.json").read_text())["seed"] == 3
    assert float(trainer.callback_metrics["geneval/overall"]) == 0.25
    (row,) = [row for row in read_rows(tmp_path / "metrics.csv")[1] if row.get("geneval/overall")]
    assert "geneval/overall/low" not in row and int(row["step"]) == 1
    main(["--suite", "geneval", "--images", str(folder), "--detector", "playground", "--out", "r.json"])
    report = json.loads(Path("r.json").read_text())
    assert report["samples"] == 6 and report["geneval/overall"] == 0.25


def test_two_processes_share_the_drawing_and_log_the_same(tiny_illume: Illume, tmp_path: Path) -> None:
    def train(rank: int) -> tuple[int, float]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(benchmark, "summary", lambda tasks: {"geneval/overall": 0.25})
            drawn = record_calls(patch, Illume, "draw_batch", lambda prompts, seeds, _: seeds)
            trainer = Trainer(
                accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true", max_steps=1, logger=False,
                default_root_dir=tmp_path, callbacks=[GenEval(**PLAYGROUND)], enable_progress_bar=False,
                enable_model_summary=False, enable_checkpointing=False,
            )  # fmt: skip
            module = Stage(tiny_illume)
            trainer.fit(module.train(), torch.utils.data.DataLoader(torch.ones(4), 2))
        return len(drawn), float(trainer.callback_metrics["geneval/overall"])

    assert forked(train, 2) == [(3, 0.25), (3, 0.25)]
    assert len(list(tmp_path.glob("geneval/step-0000001/*/samples/0000.png"))) == 6


def test_a_stage_that_cannot_draw_is_refused(tiny_illume: Illume, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GenEval cannot work on this stage, whose model has no language"):
        fit(Decoding(tiny_illume), tmp_path, GenEval(**PLAYGROUND), epochs=1)
    assert not (tmp_path / "geneval").exists()


def test_wrong_settings_are_refused_before_training(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no prompt file none.jsonl"):
        GenEval(prompts="none.jsonl", detector="playground")
    with pytest.raises(ValueError, match="leave out --clip"):
        GenEval(**PLAYGROUND, clip="clip")
    for name in ("seeds", "limit", "batch"):
        with pytest.raises(ValueError, match=f"GenEval: {name} 0 is out of range: a whole number from 1"):
            GenEval(**PLAYGROUND | {name: 0})
    module = Stage(tiny_illume)
    with pytest.raises(ValueError, match="leave out one of the two"):
        fit(module, tmp_path, few(), GenEval(**PLAYGROUND), epochs=1)
    line = {"tag": "single_object", "include": [{"class": "cow", "count": 1}], "prompt": "a cow"}
    Path("p.jsonl").write_text(json.dumps(line))
    with pytest.raises(FileNotFoundError, match="--detector no/such/one: there is no such folder"):
        fit(module, tmp_path, GenEval(prompts="p.jsonl", detector="no/such/one"), epochs=1)
    assert not module.noise, "a step was trained"


def test_the_config_has_the_callbacks_settings() -> None:
    config = Path(callbacks.__file__).parents[1] / "configs/geneval.yaml"
    (found,) = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    assert found["class_path"] == "callbacks.geneval.GenEval"
    with pytest.raises(FileNotFoundError, match="data/evaluation_metadata.jsonl"):
        GenEval(**found["init_args"])
