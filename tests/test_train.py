"""A run from the command line: found, refused, cut off, resumed and finished."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule
from torchdata.stateful_dataloader import StatefulDataLoader

import train
from callbacks.csv_logger import read_rows

ROOT = Path(train.__file__).parent


class TinyModule(LightningModule):
    """A noisy regression: its metrics are right only if weights, optimizer, data order and noise are."""

    def __init__(self, lr: float = 0.1, predecessor: str | None = None, seconds: float = 0.0, full_disk_at: int = -1):
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

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.rows = torch.linspace(-1, 1, 192).reshape(48, 4)  # (48, 4)

    def train_dataloader(self) -> StatefulDataLoader:
        return StatefulDataLoader(self.rows, self.batch_size, shuffle=True)

    def val_dataloader(self) -> StatefulDataLoader:
        return StatefulDataLoader(self.rows[:8], 4)


BASE = {
    "model": {"class_path": f"{__name__}.TinyModule", "init_args": {"lr": 0.05}},
    "data": {"class_path": f"{__name__}.TinyData"},
    "trainer": {"accelerator": "cpu", "max_steps": 30, "log_every_n_steps": 1, "val_check_interval": 5},
    "checkpoint": {"every_n_steps": 4},
}


def write(name: str, content: dict) -> None:
    """Writes a config into the current folder."""
    Path(name).write_text(yaml.safe_dump(content))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with one config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    write("base.yaml", BASE)
    return tmp_path


def error_of(capsys: pytest.CaptureFixture, *argv: str) -> str:
    """The one line that a wrong command line ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main(list(argv))
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def start(*argv: str) -> subprocess.Popen:
    """The same command in a process that can be killed."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(ROOT / "train.py"), *argv], env=env, stderr=subprocess.PIPE, text=True)


def wait_for_step(metrics: Path, step: int, process: subprocess.Popen) -> None:
    """Waits until a run has logged a step."""
    deadline = time.monotonic() + 90
    while not any(int(row["step"]) >= step for row in read_rows(metrics)[1]):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_run_folder_resolved_config_and_finish(capsys: pytest.CaptureFixture) -> None:
    write("child.yaml", {"extends": "base.yaml", "model": {"init_args": {"lr": "${checkpoint.every_n_steps}"}}})
    write("debug.yaml", {"extends": "base.yaml", "trainer": {"max_steps": 3}})
    run = train.main(["--config", "child.yaml", "--config", "debug.yaml", "--checkpoint.every_n_steps", "2"])
    assert run.trainer.global_step == 3 and run.model.lr == 2.0
    folder = Path("runs/child")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["init_args"]["lr"] == 2.0 and config["trainer"]["max_steps"] == 3
    assert (folder / "model" / "weights.pt").exists() and (folder / "checkpoints" / "last.ckpt").exists()
    assert list((folder / "tensorboard").glob("events*"))
    assert not list(folder.rglob("*.tmp")) + list(folder.rglob("*.old"))

    before = (folder / "metrics.csv").read_bytes()
    capsys.readouterr()
    again = train.main(["--config", str(folder / "config.yaml")])
    assert "finished" in capsys.readouterr().err and again.trainer is None
    assert (folder / "metrics.csv").read_bytes() == before
    other = train.main(["--config", str(folder / "config.yaml"), "--name", "other", "--runs_dir", "elsewhere"])
    assert other.trainer.global_step == 3
    assert Path("elsewhere/other/metrics.csv").read_bytes() == before


def test_killed_run_resumes_to_the_same_metrics() -> None:
    train.main(["--config", "base.yaml", "--name", "whole"])
    slow = {**BASE, "name": "cut", "model": {**BASE["model"], "init_args": {"lr": 0.05, "seconds": 0.05}}}
    write("slow.yaml", slow)
    metrics = Path("runs/cut/metrics.csv")
    process = start("--config", "slow.yaml")
    wait_for_step(metrics, 18, process)
    process.kill()
    process.wait()
    assert not Path("runs/cut/finished.json").exists()
    run = train.main(["--config", "slow.yaml"])
    assert 12 <= run.resume.step <= 28 and run.resume.step % 4 == 0
    assert metrics.read_text() == Path("runs/whole/metrics.csv").read_text()
    whole, cut = (torch.load(f"runs/{name}/model/weights.pt") for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_the_step_it_stops_at(number: signal.Signals) -> None:
    train.main(["--config", "base.yaml", "--name", "whole"])
    options = ["--name", "cut", "--model.init_args.seconds", "0.05", "--checkpoint.every_n_steps", "1000"]
    process = start("--config", "base.yaml", *options)
    wait_for_step(Path("runs/cut/metrics.csv"), 13, process)
    process.send_signal(number)
    assert "same command" in process.communicate(timeout=30)[1]
    assert process.returncode == 143
    run = train.main(["--config", "base.yaml", *options])
    assert run.resume.step > 13
    assert Path("runs/cut/metrics.csv").read_text() == Path("runs/whole/metrics.csv").read_text()


@pytest.mark.parametrize("stop", range(1, 30))
def test_every_step_can_be_the_last(stop: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Fails in the middle of each step in turn: within epochs, at their ends, and around validations."""
    whole = request.config.cache.makedir("tiny_run") / "metrics.csv"
    options = ["--config", "base.yaml", "--checkpoint.every_n_steps", "1", "--trainer.enable_progress_bar", "false"]
    if stop == 1:
        train.main([*options, "--name", "whole"])
        whole.write_bytes(Path("runs/whole/metrics.csv").read_bytes())
    step = TinyModule.training_step

    def broken(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.global_step == stop:
            raise RuntimeError("cut off")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="cut off"):
        patch.setattr(TinyModule, "training_step", broken)
        train.main(options)
    run = train.main(options)
    assert run.resume.step == stop
    assert Path("runs/base/metrics.csv").read_text() == whole.read_text()
