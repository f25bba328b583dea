"""The rates that a step was taken with are logged, in every logger, at logged steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from lightning_modules.optimization import cosine_factor
from tests.tiny import BASE, TinyModule, write
from training.metrics_file import read_rows


class Two(TinyModule):
    """Two optimizers, of which each steps in its own half of the run, as the detokenizer's stem and UNet do."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        optimizer = self.optimizers()[int(self.global_step >= 4)]
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parts = {"stem": 0.1, "unet": 0.2}
        return [
            torch.optim.SGD([{"params": self.parameters(), "name": n, "lr": lr}]) for n, lr in parts.items()
        ]


def scheduled(self: TinyModule) -> dict[str, Any]:
    optimizer = torch.optim.AdamW([{"params": self.parameters(), "name": "layer", "lr": 0.5}])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine_factor(step, 2, 8))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = BASE["trainer"] | {"max_steps": 8, "log_every_n_steps": 2, "enable_progress_bar": False}
    write("run.yaml", {**BASE, "trainer": trainer})
    write("two.yaml", {**BASE, "trainer": trainer, "model": {"class_path": f"{__name__}.Two"}})


def test_learning_rates_are_in_metrics_and_in_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyModule, "configure_optimizers", scheduled)
    train.main(["--config", "run.yaml"])
    rows = [row for row in read_rows(Path("runs/run/metrics.csv"))[1] if row["train/loss"]]
    expected = {step: 0.5 * cosine_factor(step, 2, 8) for step in (1, 3, 5, 7)}
    assert {int(row["step"]): float(row["lr/layer"]) for row in rows} == pytest.approx(expected)
    board = EventAccumulator("runs/run/tensorboard")
    board.Reload()
    assert {one.step: one.value for one in board.Scalars("lr/layer")} == pytest.approx(expected)


def test_what_takes_no_part_in_a_step_has_no_rate() -> None:
    train.main(["--config", "two.yaml"])
    rows = [row for row in read_rows(Path("runs/two/metrics.csv"))[1] if row["train/loss"]]
    found = [(float(row["lr/stem"]), float(row["lr/unet"])) for row in rows]
    assert found == [pytest.approx(pair) for pair in [(0.1, 0), (0.1, 0), (0, 0.2), (0, 0.2)]]
