"""Checkpoints replace each other whole, at their intervals, and a full disk costs none."""

import errno
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from torch.distributed.checkpoint import CheckpointException

import train
import training.checkpoint
from common.errors import explain
from tests.tiny import BASE, TinyModule, error_of, write
from training.checkpoint import ResumeCheckpoint, checkpoint_bytes
from training.resume_point import find_resume_point


def fit(folder: Path, steps: int, every: int, **kwargs: Any) -> ResumeCheckpoint:
    callback = ResumeCheckpoint(every)
    options = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    trainer = Trainer(default_root_dir=folder, max_steps=steps, callbacks=[callback], **options)
    trainer.fit(BoringModel(), **kwargs)
    return callback


def test_last_and_the_one_before_are_kept(tmp_path: Path) -> None:
    fit(tmp_path, steps=7, every=3)
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]
    steps = [
        torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] for name in ("previous", "last")
    ]
    assert steps == [6, 7]


def test_full_disk_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path, steps=2, every=1)

    def full(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(torch, "save", full)
        fit(tmp_path, steps=4, every=1, ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))
    assert find_resume_point(tmp_path / "checkpoints").step == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_disk_that_fills_up_while_torch_writes_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    fit(tmp_path, steps=2, every=1)

    class Full(io.FileIO):
        def write(self, data: bytes) -> int:
            if self.tell() + len(data) > 500:
                raise OSError(errno.ENOSPC, "No space left on device", self.name)
            return super().write(data)

    with monkeypatch.context() as patch, pytest.raises((OSError, RuntimeError)) as error:
        patch.setattr(training.checkpoint, "open", lambda path, mode: Full(str(path), "w"), raising=False)
        fit(tmp_path, steps=4, every=1, ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))
    assert "the disk is full" in explain(error.value)
    assert find_resume_point(tmp_path / "checkpoints").step == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_error_of_another_process_is_reported_as_it_was(tmp_path: Path, monkeypatch) -> None:
    """Sharded checkpoints wrap it, in an exception that nothing else would catch."""
    full = OSError(errno.ENOSPC, "No space left on device", "__1_0.distcp")

    def save(self: Trainer, path: Path, **kwargs: Any) -> None:
        path.mkdir()
        raise CheckpointException("save", {1: (full, None)})

    monkeypatch.setattr(Trainer, "save_checkpoint", save)
    with pytest.raises(OSError, match="No space left") as error:
        fit(tmp_path, steps=2, every=1)
    assert "the disk is full (__1_0.distcp)" in explain(error.value)
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_optimizers_a_step_do_not_jump_over_the_interval(tmp_path: Path) -> None:
    class TwoOptimizers(BoringModel):
        automatic_optimization = False

        def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.step()

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]

    saved = []
    callback = ResumeCheckpoint(3)
    callback._write = lambda trainer, steps=None: (
        saved.append(trainer.global_step) or setattr(callback, "saved_step", saved[-1])
    )
    options = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    Trainer(default_root_dir=tmp_path, max_steps=12, callbacks=[callback], **options).fit(TwoOptimizers())
    assert saved[:-1] == [4, 6, 10, 12]  # the first even numbers at or past 3, 6, 9 and 12


@pytest.mark.parametrize(
    "lost", ["loops", "callbacks", "optimizer_states", "lr_schedulers", "state_dict", "weights"]
)
def test_a_checkpoint_of_another_run_is_one_line(tmp_path: Path, monkeypatch, capsys, lost: str) -> None:
    """It reads well, and does not fit."""
    monkeypatch.chdir(tmp_path)
    write("run.yaml", {**BASE, "trainer": BASE["trainer"] | {"max_steps": 5, "enable_progress_bar": False}})
    train.main(["--config", "run.yaml"])
    Path("runs/run/finished.json").unlink()
    last = Path("runs/run/checkpoints/last.ckpt")
    content = torch.load(last, weights_only=True)
    others = {
        "loops": {"fit_loop": 1},
        "callbacks": [1],
        "optimizer_states": [],
        "lr_schedulers": [1],
        "state_dict": {},
    }
    if lost == "weights":
        content["state_dict"]["layer.weight"] = torch.zeros(7)
    else:
        content[lost] = others[lost]
    torch.save(content, last)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        train.main(["--config", "run.yaml"])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and "last.ckpt does not hold what this run saves" in line
    last.unlink()
    assert train.main(["--config", "run.yaml"]).resume.step == 4  # previous.ckpt's


BYTES = 60  # bytes: five numbers, and two moments of each


def set_free_bytes(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))


def test_a_run_whose_checkpoints_do_not_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)
    set_free_bytes(monkeypatch, 3 * BYTES - 1)
    line = error_of(capsys, "--config", "base.yaml")
    assert (
        line.startswith("train.py: error: runs/base/checkpoints: a checkpoint takes") and "--runs_dir" in line
    )
    assert not Path("runs/base").exists()
    set_free_bytes(monkeypatch, 3 * BYTES)
    assert train.main(["--config", "base.yaml"]).finished
    Path("runs/base/finished.json").unlink()  # as if it had been cut off; two lie there
    set_free_bytes(monkeypatch, BYTES - 1)
    with pytest.raises(SystemExit):
        train.main(["--config", "base.yaml"])
    assert "make room" in capsys.readouterr().err
    set_free_bytes(monkeypatch, BYTES)
    assert train.main(["--config", "base.yaml"]).finished


def test_only_checkpoints_to_come_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)
    set_free_bytes(monkeypatch, BYTES)
    assert train.main(["--config", "base.yaml", "--checkpoint.every_n_steps=100"]).finished  # only at the end


def test_bytes_are_weights_and_moments_of_trainable_ones() -> None:
    module = TinyModule()
    module.configure_model()
    assert checkpoint_bytes(module) == BYTES
    module.layer.bias.requires_grad_(False)
    module.register_buffer("kept", torch.zeros(2, dtype=torch.float16))
    assert checkpoint_bytes(module) == BYTES - 8 + 4
