"""A command of train.py in a process of its own that can be stopped, forked from the test: importing takes seconds."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import train
from training.metrics_file import read_rows


class RunProcess:
    """A running command, in a process group of its own, as a shell's foreground job is; stderr goes to a file.

    Args:
        argv: of train.py.
        before: called in the process first.
        stderr: the file, in the current folder.
    """

    def __init__(
        self, argv: list[str], before: Callable[[], object] = lambda: None, stderr: str = "stderr.txt"
    ) -> None:
        self.stderr = Path(stderr).resolve()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=self._run, args=(argv, before))
        self.process.start()
        self.pid = self.process.pid

    def _run(self, argv: list[str], before: Callable[[], object]) -> None:
        os.setsid()
        sys.stderr = open(self.stderr, "w", buffering=1)
        torch.set_num_threads(1)
        before()
        train.main(argv)

    def wait_for_step(self, folder: Path, step: int) -> None:
        """Waits until the run in a folder has logged a step."""
        deadline = time.monotonic() + 90
        while not any(int(row["step"]) >= step for row in read_rows(folder / "metrics.csv")[1]):
            assert self.process.is_alive() and time.monotonic() < deadline, self.stderr.read_text()
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Process ids of its children."""
        command = ["ps", "-o", "pid=", "--ppid", str(self.pid)]
        return [int(pid) for pid in subprocess.run(command, capture_output=True, text=True).stdout.split()]

    def end(self, seconds: float = 60) -> tuple[int | None, str]:
        """Its exit code and stderr, once it has ended; it is killed where it has not by then."""
        self.process.join(seconds)
        code = self.process.exitcode
        self.kill()
        return code, self.stderr.read_text()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.join()
