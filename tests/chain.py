"""The chain of stages with real configs and a little real data: what its tests share."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from callbacks import evaluation, samples
from worlds.playground import shards

STAGES = ("language", "encoder", "tokenizer", "pixel_tokenizer", "detokenizer", "stage1", "stage2", "stage3")


SMALL = [
    "--checkpoint.every_n_steps",
    "2",
    "--trainer.log_every_n_steps",
    "1",
    "--trainer.enable_progress_bar",
    "false",
]


DATA = {"batches_per_epoch": 6, "val_batches": 1, "workers": 0}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a little data, where runs/playground/... of the configs comes to lie."""
    folder = tmp_path_factory.mktemp("world")
    shards.main(["--out", str(folder / "runs/playground/data"), "--scale", "0.002", "--workers", "1"])
    return folder


def arguments(stage: str, steps: int = 6) -> list[str]:
    words = stage.startswith(("stage", "language", "self"))
    size = {"sequences_per_batch": 2} if words else {"batch_size": 4}
    data = [f"--data.init_args.{k}={v}" for k, v in (DATA | size).items()]
    stem = ["--model.init_args.stem_steps", "3"] if stage == "detokenizer" else []
    return ["--config", f"{stage}.yaml", "--trainer.max_steps", str(steps), *SMALL, *data, *stem]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def small_evaluation(monkeypatch):
    """Evaluation at the end of a stage with a prompt of each category and four scenes; sheets of two drawings."""
    suite = evaluation.playground_suite

    def small(model, settings, **more):
        return suite(model, replace(settings, per_category=1, seeds=1, samples=4), **more)

    monkeypatch.setattr(evaluation, "playground_suite", small)
    monkeypatch.setattr(samples, "COLUMNS", 2)
