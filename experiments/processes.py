"""Runs of the project's commands as processes of their own: one owner each, a log beside, and one line where they fail.

What is started holds the lock of its run itself, so that it keeps it when whoever started it is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
_asked: list[int] = []  # signals that came
GRACE = 120.0  # seconds in which a training that is asked to end saves a checkpoint


class Busy(ValueError):
    """Another process has the run."""


@contextmanager
def run_lock(folder: Path, wait: bool = False) -> Iterator[tuple[int, ...]]:
    """Keeps a run to one process: what is handed on holds the lock too, so a child that outlives us keeps it.

    Args:
        folder: of the run; the lock is a file beside it.
        wait: until another process has done with it.

    Yields:
        The file descriptors to hand on; none where the system has no such locks.

    Raises:
        Busy: another process has the run.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield ()
        return
    with _lock_file(folder).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise Busy(
                f"{folder} is still worked on by another process (or what it began): end that first"
            ) from error
        yield (file.fileno(),)


def is_busy(folder: Path) -> bool:
    """Whether another process has the run."""
    try:
        with run_lock(folder):
            return False
    except Busy:
        return True


def start(
    folder: Path, lock: tuple[int, ...], words: Sequence[str], threads: int | None = None
) -> subprocess.Popen[bytes]:
    """Starts `python WORDS` on a run, its words going to the log beside the run's folder.

    Args:
        folder: of the run.
        lock: what `run_lock` gave for it; the process's number is kept in the lock's file.
        words: the first is a file of the project's root, or -m.
        threads: of the process; None: what the environment says.
    """
    words = (str(ROOT / words[0]), *words[1:]) if words[0].endswith(".py") else words
    environment = project_environment() | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    with log_of(folder).open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=out, stderr=out, env=environment, pass_fds=lock
        )
    for descriptor in lock:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(process.pid).encode())
    return process


def project_environment() -> dict[str, str]:
    """The environment, with the project's modules to be found from any folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and makes it if it does not."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_orphan(folder: Path) -> None:
    """Ends a process that holds a run's lock and whose starter is gone; waits until the run is free.

    While the lock is held, the number in its file is its holder's: no other process can have got it.
    """
    number = _lock_file(folder).read_text().strip()
    for how in (signal.SIGTERM, signal.SIGKILL):
        if number and is_busy(folder):
            with suppress(ProcessLookupError):
                os.kill(int(number), how)
        asked = time.monotonic()
        while is_busy(folder) and (how == signal.SIGKILL or time.monotonic() - asked < GRACE):
            stop_if_asked()
            time.sleep(0.2)


def log_of(folder: Path) -> Path:
    """The log of a run's processes."""
    return folder.with_name(f"{folder.name}.log")


def failure(folder: Path, code: int, since: int) -> str:
    """What to say of a process that ended with `code`: its last line, past the log's first `since` bytes."""
    log = log_of(folder)
    told = log.read_bytes()[since:].decode("utf-8", "replace").strip().splitlines()[-1:]
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{folder.name} failed: {''.join(told)} ({how}; all of it is in {log})"


@contextmanager
def ended_by_sigterm(at_once: bool = True) -> Iterator[None]:
    """SIGTERM becomes an exit like any other, so that what runs is ended too.

    Args:
        at_once: whether wherever the program is; else where it calls `stop_if_asked`. Python drops what a handler raises
            inside a finalizer, so a program that has many of them had better look for itself.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        _asked.append(number)
        if at_once:
            stop_if_asked()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


def stop_if_asked() -> None:
    """Exits if SIGTERM came."""
    if _asked:
        sys.exit(128 + _asked[0])


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
