"""Gradient norms are those of the means that the optimizer would step by, before they are clipped, by part."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from training.csv_logger import AppendingCSVLogger, read_rows
from training.param_group_metrics import GradientNorms, gradient_norms


class Summed(LightningModule):
    """Two parts with known gradients, which a hook divides by ten afterwards."""

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


def test_norms_before_clipping_at_logged_steps_alone(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", max_steps=4, default_root_dir=tmp_path, callbacks=[GradientNorms()],
        logger=AppendingCSVLogger(tmp_path / "metrics.csv"), enable_progress_bar=False, log_every_n_steps=2,
        enable_model_summary=False, enable_checkpointing=False, gradient_clip_val=0.5,
    )  # fmt: skip
    trainer.fit(Summed(), torch.utils.data.DataLoader(torch.ones(8), 1))
    rows = read_rows(tmp_path / "metrics.csv")[1]
    assert [int(row["step"]) for row in rows] == [1, 3]
    assert [float(rows[0][f"grad_norm/{name}"]) for name in ("adapter", "trunk", "all")] == [3, 4, 5]


def test_groups_of_one_name_are_one_part() -> None:
    values = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    for parameter, gradient in zip(values, (3.0, 4.0, 12.0), strict=False):
        parameter.grad = torch.tensor([gradient])
    groups = [{"params": [values[0]], "name": "trunk"}, {"params": [values[1], values[3]], "name": "trunk"}]
    found = gradient_norms(torch.optim.SGD([*groups, {"params": [values[2]]}], 0.1))
    assert {name: float(norm) for name, norm in found.items()} == pytest.approx(
        {"grad_norm/trunk": 5, "grad_norm/group_2": 12, "grad_norm/all": 13}
    )
