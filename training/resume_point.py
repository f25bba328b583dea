"""The checkpoint that a run is resumed from: the newest that can be read."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import torch

from training.parallel.sharded_checkpoint import META, read_metadata

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
MAX_STEP = 2**53  # beyond it a logger's numbers are not exact


class ResumePoint(NamedTuple):
    """A checkpoint, its number of optimizer steps, and a note to print where an older one had to be taken."""

    path: Path | None
    step: int
    note: str


def find_resume_point(folder: Path) -> ResumePoint:
    """The newest readable checkpoint in `folder`: last.ckpt, or else previous.ckpt; its path is None if there is none.

    Raises:
        ValueError: there are checkpoints, and none can be read.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder, and a run keeps its checkpoints there: remove it")
    damaged = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        if (step := _readable_step(path)) is not None:
            note = f"{damaged[0]} is unreadable: going back to {path.name}, step {step}" if damaged else ""
            return ResumePoint(path, step, note)
        damaged.append(str(path))
    if damaged:
        raise ValueError(
            f"no checkpoint can be read ({', '.join(damaged)}): remove {folder} to start the run again"
        )
    return ResumePoint(None, 0, "")


def read_resume_point(path: Path) -> ResumePoint:
    """One checkpoint.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    step = _readable_step(path)
    if step is None:
        raise ValueError(f"{path} cannot be read: it is torn, or no checkpoint")
    return ResumePoint(path, step, "")


def _readable_step(path: Path) -> int | None:
    """The step of a checkpoint; None if it is torn, holds a wrong byte, or is something else.

    Of a sharded one, whose shards every process would have to read, only the sizes are checked.
    """
    file = path / META if path.is_dir() else path
    if not file.is_file():  # opening a pipe would wait for ever
        return None
    try:
        if path.is_dir():
            read_metadata(path)
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                return None
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        step = content["global_step"]
        is_whole = path.is_dir() or isinstance(
            content["state_dict"], dict
        )  # shards hold a sharded one's weights
        return step if is_whole and type(step) is int and 0 <= step < MAX_STEP else None
    except Exception:  # torch raises many kinds for damaged files, and each means: unreadable
        return None
