"""One process writes in a folder at a time; the error of a second one names the first.

The lock is the operating system's (flock) and so never outlives its holder, however that ends. Its file lies beside the
folder, names the holder, and is removed with the lock; the file by itself is no lock.
"""

import errno
import json
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from common.terminal import printable

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

log = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)
MAX_SHOWN = 120  # letters of a command
_held: set[TextIO] = set()


class FolderBusy(ValueError):
    """Another process writes in the folder."""


class FolderLock:
    """Keeps a folder, which need not be there, to one process.

    Args:
        folder: what is written in.

    Raises:
        FolderBusy: another process has it; the message names it, and what to do.
        OSError: the lock's file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: TextIO | None = None
        target = Path(os.path.realpath(folder))
        self._made = [parent for parent in target.parents if not parent.exists()]
        for path in (target.with_name(f".{target.name}.lock"), target / ".lock"):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._take(path)
                return
            except OSError as error:  # beside a mounted disk, no file may be made
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not target.is_dir():
                    raise
                refused = error
        raise refused

    def release(self) -> None:
        """Gives the folder back, and removes folders above it that were made and hold nothing; may be called twice."""
        if self._file is None or self._file.closed:  # never held, or in a forked child
            return
        _held.discard(self._file)
        with suppress(OSError):
            if _is_current(self._file):
                os.unlink(self._file.name)  # while we hold it: who waits sees that it is gone
        self._file.close()
        self._file = None
        with suppress(OSError):
            for parent in self._made:
                parent.rmdir()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _take(self, path: Path) -> None:
        while True:
            file = _opened(path)
            try:
                if fcntl is None:
                    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                with file:
                    if error.errno in NO_LOCKS:
                        log.warning(
                            "%s: its file system has no locks (%s): let no other process write there",
                            *(self.folder, os.strerror(error.errno)),
                        )
                        return
                    raise FolderBusy(f"{self.folder} is being written by {_holder(file)}") from error
            if _is_current(file):
                break
            file.close()  # whoever held it removed it
        self._file = file
        _held.add(file)
        with suppress(OSError):  # on a full disk, or of another user's file, the lock holds all the same
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": _command()}))
            file.flush()


@contextmanager
def lock_folder(folder: Path | None, here: bool = True) -> Iterator[None]:
    """A `FolderLock` for a block of code.

    Args:
        folder: what is written in; None: nothing is.
        here: whether this process takes it; of the processes that torchrun started, one does for all.
    """
    if folder is None or not here:
        yield
        return
    with FolderLock(folder):
        yield


def is_first_process() -> bool:
    """Whether this process is the first of those that torchrun, SLURM, LSF or Lightning started as one run."""
    for name in ("RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        if name in os.environ:
            return os.environ[name] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def _opened(path: Path) -> TextIO:
    try:
        return open(path, "a+", encoding="utf-8")
    except PermissionError:
        if not path.exists():
            raise
        return open(path, encoding="utf-8")  # another user's, which can be locked all the same


def _is_current(file: TextIO) -> bool:
    """Whether the file is still the one of its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False


def _command() -> str:
    return shlex.join(sys.orig_argv)[:MAX_SHOWN]


def _holder(file: TextIO) -> str:
    """Who holds the lock, as far as its file has it, and what to do."""
    file.seek(0)
    try:
        holder = json.loads(file.read(10_000))
        pid, host, command = int(holder["pid"]), str(holder["host"]), printable(str(holder["command"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process: wait for it, end it, or name another folder"
    where = "" if host == socket.gethostname() else f" on {printable(host)}"
    return f"process {pid}{where} ({command}): wait for it, end it (kill {pid}), or name another folder"


def _release_in_child() -> None:
    """A forked child holds none of its parent's locks, else they would outlive the parent."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
