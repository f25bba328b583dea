"""A run that comes to infinite or no numbers ends with one line, and nothing of it is saved or exported."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import train
from tests.ranks import forked
from tests.tiny import BASE, TinyModule, error_of, write
from training.divergence import first_non_finite
from training.metrics_file import read_rows

STEP, VALIDATE = TinyModule.training_step, TinyModule.validation_step
COMMAND = ["--config", "run.yaml"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = BASE["trainer"] | {"max_steps": 12, "enable_progress_bar": False}
    write("run.yaml", {**BASE, "trainer": trainer})
    two = trainer | {"devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
    write("two.yaml", {**BASE, "trainer": two})


class ByHand(TinyModule):
    """A step of one's own, whose loss no hook is given."""

    automatic_optimization = False

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__(lr)
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        loss = TinyModule.training_step(self, batch, batch_idx)
        self.optimizers().zero_grad()
        self.manual_backward(loss)
        self.optimizers().step()


def loss_of(value: float) -> Callable:
    def step(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = STEP(self, batch, batch_idx)
        return loss * value if self.global_step == 6 else loss

    return step


def gradient_of(value: float, at: int) -> Callable:
    """The loss stays finite, and what is learned from it is not."""

    def step(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = STEP(self, batch, batch_idx)
        if self.global_step == at:
            loss.register_hook(lambda gradient: gradient * value)
        return loss

    return step


def saved_step() -> int:
    last = torch.load("runs/run/checkpoints/last.ckpt", weights_only=True)
    assert all(torch.isfinite(weight).all() for weight in last["state_dict"].values())
    return last["global_step"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_loss_ends_the_run_at_once(value, monkeypatch, capsys) -> None:
    monkeypatch.setattr(TinyModule, "training_step", loss_of(value))
    line = error_of(capsys, *COMMAND)
    assert "training has diverged: the loss is not a finite number at step 6" in line
    assert "the checkpoint after 4 steps is kept" in line and "lower learning rate" in line
    assert (
        saved_step() == 4
        and not Path("runs/run/model").exists()
        and not Path("runs/run/finished.json").exists()
    )
    assert int(read_rows(Path("runs/run/metrics.csv"))[1][-1]["step"]) <= 6
    monkeypatch.setattr(TinyModule, "training_step", STEP)
    assert train.main(COMMAND).resume.step == 4


def test_a_non_finite_loss_of_manual_optimization_ends_the_run(monkeypatch, capsys) -> None:
    write("own.yaml", {**BASE, "model": {"class_path": f"{__name__}.ByHand"}})
    monkeypatch.setattr(TinyModule, "training_step", loss_of(float("nan")))
    assert "not a finite number at step 6" in error_of(capsys, "--config", "own.yaml")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [6, 7, 11])  # before a loss, before a checkpoint, and in the last step
def test_non_finite_weights_are_never_saved(value, at, monkeypatch, capsys) -> None:
    monkeypatch.setattr(TinyModule, "training_step", gradient_of(value, at))
    line = error_of(capsys, *COMMAND)
    assert "training has diverged" in line
    assert ("at step 7" in line) == (at == 6) and ("layer.weight is not a finite number" in line) == (at != 6)
    assert saved_step() == (8 if at == 11 else 4) and not Path("runs/run/model").exists()


def test_a_non_finite_validation_loss_ends_the_run(monkeypatch, capsys) -> None:
    def validate(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> None:
        VALIDATE(self, batch, batch_idx)
        if self.global_step == 10:
            self.log("val/loss_draw", torch.tensor(float("nan")))
        self.log("val/loss_share", torch.tensor(float("nan")))  # of a codebook of one code

    monkeypatch.setattr(TinyModule, "validation_step", validate)
    assert "val/loss_draw is not a finite number after 10 steps" in error_of(capsys, *COMMAND)
    assert saved_step() == 8


def test_all_processes_end_together(monkeypatch, capfd) -> None:
    """One of two ranks has it; the other learns of it at the same step and does not wait for its time-out."""

    def step(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = STEP(self, batch, batch_idx)
        return loss + float("nan") if self.global_step == 5 and self.global_rank == 1 else loss

    monkeypatch.setattr(TinyModule, "training_step", step)

    def run(rank: int) -> int:
        try:
            train.main(["--config", "two.yaml"])
        except SystemExit as end:
            return end.code
        return 0

    assert forked(run, 2) == [2, 2]
    lines = [line for line in capfd.readouterr().err.splitlines() if "diverged" in line]
    assert len(lines) == 2 and all("at step 5" in line for line in lines)
    assert torch.load("runs/two/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


def test_weights_statistics_and_moments_are_checked() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(4, 2)).sum().backward()
    optimizer.step()
    assert first_non_finite(net, [optimizer]) == ""
    optimizer.state[net[0].weight]["exp_avg_sq"].fill_(
        float("inf")
    )  # from here on the weight would stand still
    assert "exp_avg_sq" in first_non_finite(net, [optimizer])
    net[1].running_var.fill_(float("nan"))
    assert first_non_finite(net, []) == "1.running_var"
    net[0].weight.requires_grad_(False).fill_(float("nan"))  # what does not learn was there before
    assert first_non_finite(net, []) == "1.running_var"


def test_a_finite_run_writes_finished_json() -> None:
    train.main(COMMAND)
    assert json.loads(Path("runs/run/finished.json").read_text())["step"] == 12
