"""Checkpoints that will not fit are told before the first step, with nothing left behind."""

import shutil
from pathlib import Path

import pytest
import torch

import train
from tests.tiny import BASE, TinyModule, error_of, write
from training.checkpoint_space import checkpoint_bytes

ONE = 60  # bytes: five numbers, and two moments of each


def give(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))


def test_a_run_whose_checkpoints_do_not_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)
    give(monkeypatch, 3 * ONE - 1)
    line = error_of(capsys, "--config", "base.yaml")
    assert (
        line.startswith("train.py: error: runs/base/checkpoints: a checkpoint takes") and "--runs_dir" in line
    )
    assert not Path("runs/base").exists()
    give(monkeypatch, 3 * ONE)
    assert train.main(["--config", "base.yaml"]).finished
    Path("runs/base/finished.json").unlink()  # as if it had been cut off; two lie there
    give(monkeypatch, ONE - 1)
    with pytest.raises(SystemExit):
        train.main(["--config", "base.yaml"])
    assert "make room" in capsys.readouterr().err
    give(monkeypatch, ONE)
    assert train.main(["--config", "base.yaml"]).finished


def test_only_checkpoints_to_come_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)
    give(monkeypatch, ONE)
    assert train.main(["--config", "base.yaml", "--checkpoint.every_n_steps=100"]).finished  # only at the end


def test_moments_are_those_of_what_learns() -> None:
    module = TinyModule()
    module.configure_model()
    assert checkpoint_bytes(module) == ONE
    module.layer.bias.requires_grad_(False)
    module.register_buffer("kept", torch.zeros(2, dtype=torch.float16))
    assert checkpoint_bytes(module) == ONE - 8 + 4
