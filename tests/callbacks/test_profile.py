"""The profile of a training run: every moment belongs to the innermost label, and training goes on untouched."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

import train
from callbacks.profile import TrainingProfile, action_label, named_components
from tests.tiny import BASE, write
from training.experiment import Experiment
from training.profile_report import REST


def profiled(name: str, *more: str, **settings: int) -> Experiment:
    profiler = {
        "class_path": "callbacks.profile.TrainingProfile",
        "init_args": {"skip": 4, "steps": 6} | settings,
    }
    write("tiny.yaml", BASE)
    write("profile.yaml", {"trainer": {"profiler": profiler}})
    return train.main(
        ["--config", "tiny.yaml", *more, "--name", name, "--trainer.enable_progress_bar", "false"]
    )


def test_a_profiled_run_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    plain, run = profiled("plain"), profiled("watched", "--config", "profile.yaml")
    text = (run.folder / "profile.txt").read_text()
    assert text.startswith("6 steps of training") and not (run.folder / "profile.json.gz").exists()
    for label in (
        "waiting for data",
        "forward: the rest",
        "backward",
        "optimizer",
        "logging",
        "callbacks: ",
        REST,
    ):
        assert f"\n{label}" in text, label
    assert "aten::addmm" in text
    metrics = [(folder / "metrics.csv").read_text() for folder in (plain.folder, run.folder)]
    assert metrics[0] == metrics[1]
    assert not any("log_metrics" in vars(logger) for logger in run.trainer.loggers)


def test_a_run_that_ends_early_reports_its_recorded_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = profiled("short", "--config", "profile.yaml", "--trainer.max_steps", "7")
    assert (run.folder / "profile.txt").read_text().startswith("3 steps of training")


class Parted(LightningModule):
    """Has parts, one of them twice, and one within another."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.language = nn.Linear(2, 2), nn.Module()
        self.language.trunk, self.language.encoder = nn.Linear(2, 2), self.encoder
        self.tokenizer = nn.Module()
        self.tokenizer.quantizer = nn.Linear(2, 2)
        self.detokenizer = nn.Module()
        self.detokenizer.stem = nn.Linear(2, 2)
        self.encoder.stem = nn.Linear(2, 2)  # a part of a part, and the encoder's own


def test_components_are_found_by_name_and_labelled_while_recording():
    module, profile = Parted(), TrainingProfile()
    assert [name for name, _ in named_components(module)] == [
        "encoder",
        "trunk",
        "tokenizer",
        "detokenizer.stem",
    ]
    profile._label_forward(module.encoder, "forward: encoder")
    with torch.profiler.profile() as recorder:
        module.encoder(torch.zeros(1, 2))
        profile.hooks.close()
        module.encoder(torch.zeros(1, 2))
    assert [event.name for event in recorder.events()].count("forward: encoder") == 1 and not profile.open


def test_labels_of_actions():
    assert action_label("[Callback]Speed{'a': 1}.on_train_batch_end") == "callbacks: Speed"
    assert action_label("[Strategy]SingleDeviceStrategy.backward") == "backward"
    assert action_label("[LightningModule]A.on_train_start") == "the module's own hooks"
    assert action_label("run_training_batch") is None
    with pytest.raises(ValueError, match="at least 1 step"):
        TrainingProfile(steps=0)
