"""A run from the command line: found, refused, cut off, resumed and finished."""

import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

import train
from tests.run_process import RunProcess
from tests.tiny import BASE, TinyModule, error_of, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with one config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    write("base.yaml", BASE)
    return tmp_path


@pytest.fixture(scope="module")
def whole_metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """metrics.csv of the run that nothing cuts off."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    train.main(["--config", str(folder / "base.yaml"), "--runs_dir", str(folder)])
    return (folder / "base" / "metrics.csv").read_text()


def test_killed_run_resumes_to_the_same_metrics(whole_metrics: str) -> None:
    slow = {**BASE, "name": "cut", "model": {**BASE["model"], "init_args": {"lr": 0.05, "seconds": 0.05}}}
    write("slow.yaml", slow)
    metrics = Path("runs/cut/metrics.csv")
    process = RunProcess(["--config", "slow.yaml"])
    process.wait_for_step(metrics.parent, 18)
    process.kill()
    assert not Path("runs/cut/finished.json").exists()
    run = train.main(["--config", "slow.yaml"])
    assert 12 <= run.resume.step <= 28 and run.resume.step % 4 == 0
    assert metrics.read_text() == whole_metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stop", [13, 14])  # the 15th step is followed by validation
def test_a_signal_saves_the_step_it_stops_at(
    number: signal.Signals,
    stop: int,
    whole_metrics: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    step = TinyModule.training_step

    def interrupted(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.global_step == stop:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    command = ["--config", "base.yaml", "--checkpoint.every_n_steps", "1000"]
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(TinyModule, "training_step", interrupted)
        train.main(command)
    assert end.value.code == 143 and "same command" in capsys.readouterr().err
    assert train.main(command).resume.step == stop + 1
    assert Path("runs/base/metrics.csv").read_text() == whole_metrics


# Batches 12 and 24 end epochs; validation comes after the 5th and 10th batch of each.
@pytest.mark.parametrize("stop", [1, 5, 6, 11, 12, 13, 17, 24, 29])
def test_every_step_can_be_the_last(stop: int, whole_metrics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step = TinyModule.training_step

    def broken(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.global_step == stop:
            raise RuntimeError("cut off")
        return step(self, batch, batch_idx)

    command = [
        "--config",
        "base.yaml",
        "--checkpoint.every_n_steps",
        "1",
        "--trainer.enable_progress_bar",
        "false",
    ]
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="cut off"):
        patch.setattr(TinyModule, "training_step", broken)
        train.main(command)
    assert train.main(command).resume.step == stop
    assert Path("runs/base/metrics.csv").read_text() == whole_metrics


def test_unreadable_checkpoint_falls_back_with_one_line(
    whole_metrics: str, capsys: pytest.CaptureFixture
) -> None:
    command = ["--config", "base.yaml"]
    train.main(command)
    Path("runs/base/finished.json").unlink()
    last = Path("runs/base/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:-100])
    capsys.readouterr()
    run = train.main(command)
    assert run.resume.path.name == "previous.ckpt" and run.resume.step == 28
    assert capsys.readouterr().err.count("unreadable") == 1
    assert Path("runs/base/metrics.csv").read_text() == whole_metrics
    Path("runs/base/finished.json").unlink()
    for name in ("last.ckpt", "previous.ckpt"):
        (last.parent / name).write_bytes(b"nothing")
    assert "no checkpoint can be read" in error_of(capsys, *command)


def test_a_parent_of_two_configs_is_applied_once() -> None:
    write("left.yaml", {"extends": "base.yaml", "name": "left"})
    write("right.yaml", {"extends": ["base.yaml"], "seed_everything": 3})
    files = [Path(arg).name for arg in train.parse(["--config", "left.yaml", "-c", "right.yaml"]).args[1::2]]
    assert files == ["base.yaml", "left.yaml", "right.yaml"]
