"""The smallest module, data and config that `train.py` can run, and what the tests do with them."""

import errno
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule
from torchdata.stateful_dataloader import StatefulDataLoader

import train
from lightning_modules.stage_module import StageModule


class TinyModule(StageModule):
    """A noisy regression: its metrics are right only if weights, optimizer, data order and noise are."""

    def __init__(
        self, lr: float = 0.1, predecessor: str | None = None, seconds: float = 0.0, full_disk_at: int = -1
    ):
        super().__init__()
        self.lr, self.predecessor, self.seconds, self.full_disk_at = lr, predecessor, seconds, full_disk_at
        self.layer: torch.nn.Linear | None = None

    def configure_model(self) -> None:
        if self.predecessor and not Path(self.predecessor).exists():
            raise FileNotFoundError(f"{self.predecessor} is missing:\nrun stage1 first")
        if self.layer is None:
            self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        time.sleep(self.seconds)
        if self.global_step == self.full_disk_at:
            raise RuntimeError("torch's own") from OSError(errno.ENOSPC, "No space left on device")
        loss = (self.layer(batch + torch.rand_like(batch)) - 1).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val/loss", (self.layer(batch + torch.rand_like(batch)) - 1).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([{"params": list(self.layer.parameters()), "name": "layer"}], lr=self.lr)

    def export(self, folder: Path) -> None:
        torch.save(self.layer.state_dict(), folder / "weights.pt")


class TinyData(LightningDataModule):
    """Twelve shuffled batches an epoch, which a checkpoint can stop within."""

    def __init__(self, batch_size: int = 4, workers: int = 0) -> None:
        super().__init__()
        self.batch_size, self.workers = batch_size, workers
        self.rows = torch.linspace(-1, 1, 192).reshape(48, 4)  # (48, 4)

    def train_dataloader(self) -> StatefulDataLoader:
        return StatefulDataLoader(self.rows, self.batch_size, shuffle=True, num_workers=self.workers)

    def val_dataloader(self) -> StatefulDataLoader:
        return StatefulDataLoader(self.rows[:8], 4)


BASE = {
    "model": {"class_path": "tests.tiny.TinyModule", "init_args": {"lr": 0.05}},
    "data": {"class_path": "tests.tiny.TinyData"},
    "trainer": {"accelerator": "cpu", "max_steps": 30, "log_every_n_steps": 1, "val_check_interval": 5},
    "checkpoint": {"every_n_steps": 4},
}


def write(name: str, content: dict) -> None:
    """Writes a config into the current folder."""
    Path(name).write_text(yaml.safe_dump(content))


def error_of(capsys: pytest.CaptureFixture, *argv: str) -> str:
    """The one line that a wrong command line ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main(list(argv))
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
