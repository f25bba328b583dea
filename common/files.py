"""Files and folders that are there whole or not at all, whenever the process or the machine stops.

What is written goes to a scratch path beside its target, is forced onto the disk and only then renamed.
"""

import os
import shutil
from pathlib import Path


def scratch_path(target: Path) -> Path:
    """Where the new `target` is written before it is put in place: beside it, so on the same file system."""
    return target.with_name(target.name + ".tmp")


def atomic_replace(scratch: Path, target: Path) -> None:
    """Renames a finished file or folder to `target`, whose former content is there until then."""
    for path in [scratch, *scratch.rglob("*")] if scratch.is_dir() else [scratch]:
        _sync(path)
    old = target.with_name(target.name + ".old")
    remove(old)
    if target.exists() and (target.is_dir() or scratch.is_dir()):  # what cannot be renamed over
        os.replace(target, old)
    os.replace(scratch, target)
    _sync(target.parent)
    remove(old)


def write_text(target: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_bytes(target, text.encode("utf-8"))


def write_bytes(target: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        IsADirectoryError: a folder is there, which is not replaced.
    """
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_path(target)
    scratch.write_bytes(content)
    atomic_replace(scratch, target)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
