"""Checks files that others made before anything reads them: what is no file, a pointer or too large is one line."""

import stat
from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/"


def check_file(path: Path, max_bytes: int | None = None) -> None:
    """Makes sure that a path leads to a file that can be read to its end.

    Raises:
        FileNotFoundError: nothing is there, or a link that leads nowhere.
        ValueError: it is no file but a folder or a pipe, a pointer of git-lfs, or larger than `max_bytes`.
        OSError: it cannot be read.
    """
    try:
        about = path.stat()
    except FileNotFoundError:
        where = f", a link to {path.readlink()}," if path.is_symlink() else ""
        raise FileNotFoundError(f"{path}{where} is not there") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None  # a link to itself
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{path} is no file: it is {_kind(about.st_mode)}")
    if is_pointer(path):
        raise ValueError(
            f"{path} is a git-lfs pointer and not the file itself: "
            "install git-lfs and run `git lfs pull` in its repository"
        )
    if max_bytes is not None and about.st_size > max_bytes:
        raise ValueError(f"{path} has {about.st_size:,} bytes; at most {max_bytes:,} are read")


def is_pointer(path: Path) -> bool:
    """Whether a file is what git checks out for a large one where git-lfs is not installed."""
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def check_no_pointers(folder: Path, *patterns: str) -> None:
    """Makes sure that none of a folder's files is a pointer, which a library would report as damage.

    Raises:
        ValueError: one is; the message names it.
    """
    for pattern in patterns or ("*",):
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                check_file(path)


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISCHR: "a device"}
    return next((name for of, name in kinds.items() if of(mode)), "something else")
