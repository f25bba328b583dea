"""Which checkpoint a run goes on from, and that a full disk costs none."""

import errno
import io
import os
import zipfile
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
from common.files import atomic_replace, scratch_path
from tests.tiny import BASE, write
from training.checkpoint import ResumeCheckpoint, find_resume_point


def save(path: Path, step: int) -> None:
    torch.save({"global_step": step, "state_dict": {"weight": torch.zeros(10_000)}}, path)


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


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert find_resume_point(tmp_path / "checkpoints") == (None, 0, "")


def test_last_is_taken_and_previous_stands_in(tmp_path: Path) -> None:
    save(tmp_path / "previous.ckpt", 10)
    assert find_resume_point(tmp_path).step == 10  # killed between the two renames
    save(tmp_path / "last.ckpt", 20)
    assert find_resume_point(tmp_path) == (tmp_path / "last.ckpt", 20, "")


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "unsafe"])
def test_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    save(tmp_path / "previous.ckpt", 10)
    save(last := tmp_path / "last.ckpt", 20)
    content = bytearray(last.read_bytes())
    content[20_000] ^= 1  # one bit of a weight
    last.write_bytes({"torn": content[:-30], "flipped": content}.get(damage, b""))
    if damage == "unsafe":  # an object that a safe load refuses
        torch.save({"global_step": 20, "object": last}, last)
    path, step, note = find_resume_point(tmp_path)
    assert (path.name, step) == ("previous.ckpt", 10) and "last.ckpt is unreadable" in note


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


def test_what_befell_another_process_is_told_as_it_was(tmp_path: Path, monkeypatch) -> None:
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


def test_a_folder_and_a_file_take_each_others_place(tmp_path: Path) -> None:
    """A run that was one process's and is sharded now, or the other way."""
    target = tmp_path / "last.ckpt"
    for number, kind in enumerate(("file", "folder", "file")):
        scratch = scratch_path(target)
        if kind == "folder":
            scratch.mkdir()
        (scratch / "share" if kind == "folder" else scratch).write_text(str(number))
        atomic_replace(scratch, target)
        assert (target / "share" if kind == "folder" else target).read_text() == str(number)
        assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


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
    callback._dump = lambda trainer, counted=None: (
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


SHAPES = {
    "list": lambda path: torch.save([1], path),
    "text": lambda path: torch.save("global_step", path),
    "step alone": lambda path: torch.save({"global_step": 2}, path),
    "huge step": lambda path: torch.save({"global_step": 10**30, "state_dict": {}}, path),
    "negative step": lambda path: torch.save({"global_step": -1, "state_dict": {}}, path),
    "step of another kind": lambda path: torch.save({"global_step": "2", "state_dict": {}}, path),
    "true": lambda path: torch.save({"global_step": True, "state_dict": {}}, path),
    "weights of another kind": lambda path: torch.save({"global_step": 2, "state_dict": [1]}, path),
    "old format": lambda path: torch.save(
        {"global_step": 2, "state_dict": {}}, path, _use_new_zipfile_serialization=False
    ),
    "empty folder": lambda path: path.mkdir(),
    "folder without an index": lambda path: (path.mkdir(), torch.save({"global_step": 2}, path / "meta.pt")),
    "pipe": os.mkfifo,
    "zip of something else": lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_checkpoint_of_another_shape_is_passed_over(tmp_path: Path, shape: str) -> None:
    save(tmp_path / "previous.ckpt", 10)
    SHAPES[shape](tmp_path / "last.ckpt")
    path, step, note = find_resume_point(tmp_path)
    assert (path.name, step) == ("previous.ckpt", 10) and "last.ckpt is unreadable" in note
    (tmp_path / "previous.ckpt").unlink()
    with pytest.raises(ValueError, match="no checkpoint can be read"):
        find_resume_point(tmp_path)


def test_a_file_where_the_checkpoints_are_kept(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ValueError, match="is no folder"):
        find_resume_point(tmp_path / "checkpoints")


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
