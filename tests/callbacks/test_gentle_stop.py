"""A run that is asked to stop at any instant goes on to the same metrics and the same model."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

import train
from callbacks.metrics_file import read_rows
from common.signals import STOP_SIGNALS
from tests.tiny import BASE, TinyModule, error_of, write

ROOT = Path(train.__file__).parent
TRAINER = BASE["trainer"] | {"enable_progress_bar": False}
DATA = {"class_path": "tests.tiny.TinyData", "init_args": {"batch_size": 12}}  # four batches an epoch
EPOCHS = TRAINER | {"max_steps": -1, "max_epochs": 2}
SHAPES = {
    "steps": TRAINER | {"max_steps": 6, "val_check_interval": 2},
    "epochs": EPOCHS | {"val_check_interval": 1.0},
    "accumulated": TRAINER | {"max_steps": 3, "accumulate_grad_batches": 2, "val_check_interval": 1},
    "uneven": EPOCHS | {"accumulate_grad_batches": 3, "val_check_interval": 3},
    "every_other": TRAINER | {"max_steps": 8, "check_val_every_n_epoch": 2, "val_check_interval": 1.0},
    "unvalidated": TRAINER | {"max_steps": 5, "limit_val_batches": 0},
}


class Counts(Callback):
    """Logs at the ends of epoch and training, and keeps count of validations: what must not be done twice, or lost."""

    def __init__(self) -> None:
        self.validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def _log(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({f"counts/{name}": self.validations}, step=max(0, trainer.global_step - 1))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validations += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, "epoch")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, "end")


EVENTS = {  # where a signal can come
    "step": (TinyModule, "training_step"),
    "validation": (TinyModule, "validation_step"),
    "validated": (Counts, "on_validation_end"),
    "epoch_end": (Counts, "on_train_epoch_end"),
    "end": (Counts, "on_train_end"),
    "export": (TinyModule, "export"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, trainer in SHAPES.items():
        settings = trainer | {"callbacks": [{"class_path": f"{__name__}.Counts"}]}
        write(f"{name}.yaml", {**BASE, "name": "run", "data": DATA, "trainer": settings})


def command(shape: str, *others: str) -> list[str]:
    return ["--config", f"{shape}.yaml", "--checkpoint.every_n_steps", "1000", *others]


def outcome(folder: Path) -> tuple[list[dict[str, str]], list[torch.Tensor]]:
    """All that a run leaves: its metrics and its model."""
    return read_rows(folder / "metrics.csv")[1], list(
        torch.load(folder / "model" / "weights.pt", weights_only=True).values()
    )


def same(one: tuple, other: tuple) -> bool:
    return one[0] == other[0] and all(map(torch.equal, one[1], other[1]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple]:
    """What a run leaves that nothing stops."""
    known: dict[str, tuple] = {}

    def run(shape: str) -> tuple:
        if shape not in known:
            train.main(command(shape, "--name", "whole"))
            known[shape] = outcome(Path("runs/whole"))
        return known[shape]

    return run


class interrupted:
    """Sends this process a signal at the n-th time that something is called, before or after it."""

    def __init__(
        self, event: str, number: int, what: signal.Signals = signal.SIGTERM, after: bool = False
    ) -> None:
        self.event, self.number, self.what, self.after = event, number, what, after
        self.count = 0

    def __enter__(self) -> "interrupted":
        self.patch = pytest.MonkeyPatch()
        owner, name = EVENTS[self.event]
        function = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.number and not self.after:
                os.kill(os.getpid(), self.what)
            result = function(*args, **kwargs)
            if self.count == self.number and self.after:
                os.kill(os.getpid(), self.what)
            return result

        def step(self_: Any, batch: torch.Tensor, batch_idx: int) -> Any:  # Lightning looks at the signature
            return called(self_, batch, batch_idx)

        self.patch.setattr(owner, name, step if name.endswith("_step") else called)
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()


def train_to_its_end(argv: list[str], event: str) -> int:
    """Runs a command that gets a signal in each session, until it is finished; returns how often it was stopped."""
    stopped = 0
    again = {
        "validation": 3,
        "validated": 2,
        "end": 2,
        "export": 2,
    }  # what was cut off comes first, and comes whole
    while not Path("runs/run/finished.json").exists():
        with interrupted(event, again.get(event, 1) if stopped else 1, after=stopped % 2 == 1):
            try:
                train.main(argv)
            except SystemExit as end:
                assert end.code == 143
                stopped += 1
    return stopped


@pytest.mark.parametrize("shape", SHAPES)
def test_a_signal_in_every_step(shape: str, whole: Callable) -> None:
    """Also in the last of an epoch, and of the run, where a validation is owed, and where gradients are accumulated."""
    expected = whole(shape)
    stopped = train_to_its_end(command(shape), "step")
    steps = {"steps": 6, "epochs": 8, "accumulated": 3, "uneven": 4, "every_other": 8, "unvalidated": 5}
    assert stopped == steps[shape]
    assert same(outcome(Path("runs/run")), expected)


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "step"])
@pytest.mark.parametrize("shape", ["steps", "epochs"])
def test_a_signal_between_steps(shape: str, event: str, whole: Callable) -> None:
    """In validation, in what follows it, at the ends of epochs and of training, and while the model is exported."""
    expected = whole(shape)
    assert train_to_its_end(command(shape), event) >= 1
    assert same(outcome(Path("runs/run")), expected)
