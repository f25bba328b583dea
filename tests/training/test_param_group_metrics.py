"""Gradient norms before clipping, learning rates and the table of parameter groups, by the groups' names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from lightning_modules.optimization import cosine_factor
from lightning_modules.stage_module import StageModule
from tests.tiny import BASE, TinyModule, write
from training.csv_logger import AppendingCSVLogger
from training.metrics_file import read_rows
from training.param_group_metrics import ParamGroupMetrics, gradient_norms, parameter_table


class Summed(StageModule):
    """Two parameters with known gradients, which a hook divides by ten afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return (30 * self.one + 40 * self.other).sum()

    def gradient_factor(self) -> float:
        return 0.1

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for parameter in self.parameters():
            parameter.grad.mul_(self.gradient_factor())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [{"params": [self.one], "name": "adapter"}, {"params": [self.other], "name": "trunk"}]
        return torch.optim.SGD(groups, 0.1)


def test_norms_are_taken_before_clipping_and_at_logged_steps_only(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", max_steps=4, default_root_dir=tmp_path, callbacks=[ParamGroupMetrics()],
        logger=AppendingCSVLogger(tmp_path / "metrics.csv"), enable_progress_bar=False, log_every_n_steps=2,
        enable_model_summary=False, enable_checkpointing=False, gradient_clip_val=0.5,
    )  # fmt: skip
    trainer.fit(Summed(), torch.utils.data.DataLoader(torch.ones(8), 1))
    rows = read_rows(tmp_path / "metrics.csv")[1]
    assert [int(row["step"]) for row in rows] == [1, 3]
    assert [float(rows[0][f"grad_norm/{name}"]) for name in ("adapter", "trunk", "all")] == [3, 4, 5]


def test_groups_of_the_same_name_share_one_norm() -> None:
    values = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    for parameter, gradient in zip(values, (3.0, 4.0, 12.0), strict=False):
        parameter.grad = torch.tensor([gradient])
    groups = [{"params": [values[0]], "name": "trunk"}, {"params": [values[1], values[3]], "name": "trunk"}]
    found = gradient_norms(torch.optim.SGD([*groups, {"params": [values[2]]}], 0.1))
    assert {name: float(norm) for name, norm in found.items()} == pytest.approx(
        {"grad_norm/trunk": 5, "grad_norm/group_2": 12, "grad_norm/all": 13}
    )


def test_parameter_table_has_counts_and_learning_rates() -> None:
    module = torch.nn.ModuleDict({"adapter": torch.nn.Linear(3, 2), "head": torch.nn.Linear(2, 1)})
    module["head"].requires_grad_(False)
    adapter = module["adapter"]
    groups = [{"params": [adapter.weight], "name": "adapter"}, {"params": [adapter.bias], "name": "adapter"}]
    lines = parameter_table([torch.optim.AdamW(groups, lr=2e-4)], module)
    assert [line.split() for line in lines[1:]] == [["adapter", "8", "2.00e-04"], ["frozen", "3"]]


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
        rates = {"stem": 0.1, "unet": 0.2}
        return [
            torch.optim.SGD([{"params": self.parameters(), "name": n, "lr": lr}]) for n, lr in rates.items()
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


def test_groups_of_an_optimizer_that_does_not_step_have_a_rate_of_zero() -> None:
    train.main(["--config", "two.yaml"])
    rows = [row for row in read_rows(Path("runs/two/metrics.csv"))[1] if row["train/loss"]]
    found = [(float(row["lr/stem"]), float(row["lr/unet"])) for row in rows]
    assert found == [pytest.approx(pair) for pair in [(0.1, 0), (0.1, 0), (0, 0.2), (0, 0.2)]]
