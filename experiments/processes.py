"""Runs of the project's commands as processes: one owner each, a log beside the run, and one line where they fail.

A process holds the lock of its run itself, and so keeps it when whoever started it is killed.
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

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

ROOT = Path(__file__).resolve().parent.parent
GRACE = 120.0  # seconds in which a training that is asked to stop saves a checkpoint
_signals: list[int] = []  # that came


class Busy(ValueError):
    """Another process has the run."""


@contextmanager
def run_lock(folder: Path, wait: bool = False) -> Iterator[tuple[int, ...]]:
    """Keeps a run to one process, by a file beside its folder; `wait`: until another process has released it.

    Yields:
        File descriptors for a child process to inherit, which then holds the lock too; none where there are no locks.

    Raises:
        Busy: another process has the run.
    """
    if fcntl is None:
        yield ()
        return
    with _lock_file(folder).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise Busy(
                f"{folder} is still worked on by another process (or one that it started): end that first"
            ) from error
        yield (file.fileno(),)


def is_busy(folder: Path) -> bool:
    """Whether another process has the run."""
    try:
        with run_lock(folder):
            return False
    except Busy:
        return True


class RunProcess:
    """`python ARGUMENTS` on a run, with its output in the log beside the run's folder.

    Args:
        folder: of the run.
        lock: what `run_lock` yielded; the process's number is written into its file.
        arguments: the first is a file in the project's root, or -m.
        threads: of the process; None: as the environment has it.
    """

    def __init__(
        self, folder: Path, lock: tuple[int, ...], arguments: Sequence[str], threads: int | None = None
    ) -> None:
        self.folder, self.log = folder, folder.with_name(f"{folder.name}.log")
        self._start = self.log.stat().st_size if self.log.exists() else 0  # of this process's output
        program = [str(ROOT / arguments[0])] if arguments[0].endswith(".py") else [arguments[0]]
        environment = project_environment() | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments[1:]],
                stdout=out,
                stderr=out,
                env=environment,
                pass_fds=lock,
            )
        for descriptor in lock:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(self.process.pid).encode())

    def failure(self) -> str:
        """Why the process failed, once it has ended: empty, or the last line of its output."""
        code = self.process.returncode
        if not code:
            return ""
        output = self.log.read_bytes()[self._start :].decode("utf-8", "replace")
        last = "".join(output.strip().splitlines()[-1:])
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{self.folder.name} failed: {last} ({how}; all of its output is in {self.log})"


def project_environment() -> dict[str, str]:
    """The environment, with the project's modules on the path."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and kills it if it does not."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop_orphan(folder: Path) -> None:
    """Stops a process that holds a run's lock and whose parent is gone; waits until the run is free.

    While the lock is held, the number in its file is its holder's: no other process can have got it.
    """
    number = _lock_file(folder).read_text().strip()
    for how in (signal.SIGTERM, signal.SIGKILL):
        if number and is_busy(folder):
            with suppress(ProcessLookupError):
                os.kill(int(number), how)
        start = time.monotonic()
        while is_busy(folder) and (how == signal.SIGKILL or time.monotonic() - start < GRACE):
            exit_if_asked()
            time.sleep(0.2)


@contextmanager
def exit_on_sigterm(at_once: bool = True) -> Iterator[None]:
    """Turns SIGTERM into an exit like any other, so that child processes are stopped too.

    Args:
        at_once: whether the program exits wherever it is, or where it calls `exit_if_asked`. Python drops what a handler
            raises inside a finalizer, so a program with many of them had better ask.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        _signals.append(number)
        if at_once:
            exit_if_asked()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _signals.clear()


def exit_if_asked() -> None:
    """Exits if SIGTERM came."""
    if _signals:
        sys.exit(128 + _signals[0])


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
