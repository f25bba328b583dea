"""Atomic writes: files and folders are there whole or not at all, whenever the process or the machine stops.

Content is written to a scratch path beside its target, synced to the disk and only then renamed. The scratch path names
the writer's process, so that two never write into one; the next process that writes in the folder removes what a killed
one left.
"""

import errno
import hashlib
import itertools
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_NAME = 150  # bytes of a target's name within its scratch path's, as a name has 255 in all
SCRATCH = re.compile(
    r"\.(?P<name>.+)\.(?P<pid>\d+)(-\d+)?@(?P<host>[0-9a-f]{8})\.(?P<kind>tmp|old)", re.DOTALL
)
_numbers = itertools.count(1)
_swept: set[tuple[int, Path]] = set()  # folders that this process has cleaned


def scratch_path(target: Path) -> Path:
    """Where this process writes a new `target` before it is renamed: beside it, so on the same file system."""
    return _beside(target, f"{os.getpid()}", "tmp")


@contextmanager
def atomic(target: Path, replace: bool = True) -> Iterator[Path]:
    """A path to write a file or a folder at, which becomes `target` when the block ends, and goes when it fails.

    Args:
        target: what is written; its parent folders are made. A link is followed.
        replace: whether it replaces what is there.

    Raises:
        FileExistsError: something is there, and is not to be replaced.
        IsADirectoryError: a file was written, and a folder is there.
        OSError: the disk is full, or may not be written on; the message names the file.
    """
    target = Path(os.path.realpath(target))
    if not replace:
        check_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        scratch = _beside(target, f"{os.getpid()}-{next(_numbers)}", "tmp")
        try:
            yield scratch
            if scratch.is_file() and target.is_dir():
                raise IsADirectoryError(f"{target} is a folder: name a file")
            atomic_replace(scratch, target, replace)
        finally:
            remove(scratch)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # as when the disk is full
            error.filename = str(target)
        raise


def check_free(target: Path) -> None:
    """Makes sure that nothing is at a path but, at most, an empty folder, which a rename replaces.

    Raises:
        FileExistsError: something is.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise FileExistsError(f"{target} is there already: name a folder that is not, or an empty one")
    if os.path.ismount(target):
        raise FileExistsError(f"{target} is where a disk is mounted: name a folder in it")


def atomic_replace(scratch: Path, target: Path, replace: bool = True) -> None:
    """Renames a finished file or folder to `target`, whose former content is there until then.

    Raises:
        FileExistsError: something is there, and is not to be replaced; both are left as they are.
    """
    for path in [scratch, *scratch.rglob("*")] if scratch.is_dir() else [scratch]:
        _sync(path)
    if not replace:
        _rename_to_free(scratch, target)
        _sync(target.parent)
        return
    old = _beside(target, f"{os.getpid()}", "old")
    remove(old)
    if target.exists() and (target.is_dir() or scratch.is_dir()):  # what cannot be renamed over
        os.replace(target, old)
    os.replace(scratch, target)
    _sync(target.parent)
    remove(old)


def write_text(target: Path, text: str, replace: bool = True) -> None:
    """Writes a text file whole or not at all; errors as of `atomic`."""
    write_bytes(target, text.encode("utf-8"), replace)


def write_bytes(target: Path, content: bytes, replace: bool = True) -> None:
    """Writes a file whole or not at all; errors as of `atomic`."""
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file")
    with atomic(target, replace) as scratch:
        scratch.write_bytes(content)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_scratch(target: Path) -> None:
    """Removes what any process, on any machine, left of an unfinished `target`: for its only writer."""
    for path in _scratch_in(target.parent):
        if SCRATCH.fullmatch(path.name)["name"] == _short(target.name):
            remove(path)


def _beside(target: Path, writer: str, kind: str) -> Path:
    return target.with_name(f".{_short(target.name)}.{writer}@{_host()}.{kind}")


def _short(name: str) -> str:
    encoded = os.fsencode(name)
    return name if len(encoded) <= MAX_NAME else hashlib.sha256(encoded).hexdigest()[:32]


def _host() -> str:
    """Identifies the machine, and the container on it, whose process numbers may be equal to others'."""
    with suppress(OSError):
        return hashlib.sha256(
            f"{socket.gethostname()} {os.stat('/proc/self/ns/pid').st_ino}".encode()
        ).hexdigest()[:8]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sweep(folder: Path) -> None:
    """Removes what dead processes of this host left in a folder; once for each folder."""
    if (os.getpid(), folder) in _swept:
        return
    _swept.add((os.getpid(), folder))
    for path in _scratch_in(folder):
        about = SCRATCH.fullmatch(path.name)
        if about["host"] != _host() or _is_alive(int(about["pid"])):
            continue
        target = folder / about["name"]
        with suppress(OSError):  # another process sweeps, too, or may and we may not
            if about["kind"] == "old" and not target.exists():  # killed between two renames
                path.rename(target)
            else:
                remove(path)


def _scratch_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if SCRATCH.fullmatch(entry.name)]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    with suppress(OSError):  # a container without an init reaps nobody
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in (b"Z", b"X")
    return True


def _rename_to_free(scratch: Path, target: Path) -> None:
    taken = f"{target} is there already: name another"
    try:
        if scratch.is_dir():
            os.rename(scratch, target)  # takes the place of an empty folder alone
        else:
            os.link(scratch, target)
            scratch.unlink()
    except FileExistsError:
        raise FileExistsError(taken) from None
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(taken) from None
        if scratch.is_dir():
            raise
        if os.path.lexists(target):  # a file system without hard links
            raise FileExistsError(taken) from None
        os.rename(scratch, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems sync files alone
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
