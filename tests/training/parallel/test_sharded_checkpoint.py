"""A sharded checkpoint is read without running what it holds, and one that lacks something is no checkpoint."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch.distributed import checkpoint as dcp

from training.parallel.sharded_checkpoint import META, load_into, read_metadata
from training.resume_point import find_resume_point

STATE = {"state_dict": {"weight": torch.arange(6.0)}, "optimizer_0": {"lr": 0.1, "names": ["a", "b"]}}


class Hostile:
    """Says something as it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("was_here",)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, in the current folder."""
    monkeypatch.chdir(tmp_path)
    dcp.save(STATE, checkpoint_id="last.ckpt", no_dist=True)
    torch.save({"global_step": 7}, tmp_path / "last.ckpt" / META)
    return tmp_path / "last.ckpt"


def empty() -> dict:
    return {"state_dict": {"weight": torch.zeros(6)}, "optimizer_0": {"lr": 0.0, "names": []}}


def test_a_sharded_checkpoint_is_read(folder: Path) -> None:
    state = empty()
    load_into(state, folder)
    assert torch.equal(state["state_dict"]["weight"], STATE["state_dict"]["weight"])
    assert state["optimizer_0"] == STATE["optimizer_0"]
    assert find_resume_point(folder.parent)[:2] == (folder, 7)


def test_missing_entries_are_an_error_unless_partial(folder: Path) -> None:
    state = empty() | {"more": {"moment": torch.ones(2)}}
    with pytest.raises(RuntimeError, match="more.moment"):
        load_into(state, folder)
    load_into(state, folder, partial=True)
    assert torch.equal(state["more"]["moment"], torch.ones(2)) and state["optimizer_0"]["lr"] == 0.1


@pytest.mark.parametrize("damage", ["short", "gone", "nonsense", "elsewhere"])
def test_an_incomplete_checkpoint_is_passed_over(folder: Path, damage: str) -> None:
    (share,) = folder.glob("*.distcp")
    if damage == "short":
        share.write_bytes(share.read_bytes()[:-10])
    elif damage == "gone":
        share.unlink()
    elif damage == "nonsense":
        (folder / ".metadata").write_bytes(b"nonsense")
    else:
        index = (folder / ".metadata").read_bytes()
        (folder / ".metadata").write_bytes(index.replace(b"__0_0.distcp", b"/etc/shadows"))
    with pytest.raises(ValueError, match="last.ckpt"):
        read_metadata(folder)
    with pytest.raises(ValueError, match="no checkpoint can be read"):
        find_resume_point(folder.parent)


def test_metadata_that_would_run_code_is_refused(folder: Path) -> None:
    for hostile in (Hostile(), {"a": [Hostile()]}):
        (folder / ".metadata").write_bytes(pickle.dumps(hostile))
        with pytest.raises(ValueError, match="it names"):
            load_into(empty(), folder)
    assert not Path("was_here").exists()


def test_an_entry_that_would_run_code_is_refused() -> None:
    dcp.save({**STATE, "optimizer_0": {"lr": Hostile(), "names": []}}, checkpoint_id="bad.ckpt", no_dist=True)
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        load_into(empty(), Path("bad.ckpt"))
    assert not Path("was_here").exists()
