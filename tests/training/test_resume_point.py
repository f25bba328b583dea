"""The checkpoint that a run is resumed from: the newest that can be read, whatever happened to the others."""

import os
import zipfile
from pathlib import Path

import pytest
import torch

from training.resume_point import find_resume_point


def save(path: Path, step: int) -> None:
    torch.save({"global_step": step, "state_dict": {"weight": torch.zeros(10_000)}}, path)


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert find_resume_point(tmp_path / "checkpoints") == (None, 0, "")


def test_last_is_taken_and_previous_is_the_fallback(tmp_path: Path) -> None:
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


def test_a_file_in_place_of_the_checkpoint_folder(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ValueError, match="is no folder"):
        find_resume_point(tmp_path / "checkpoints")
