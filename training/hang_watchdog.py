"""Ends a process that waits for others in vain: with one line, and before the library would abort it without one.

NCCL and HCCL notice a missing process in a thread of their own, and kill the program from there. This thread is earlier.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from lightning.pytorch import Callback, Trainer

from common.errors import LOST, goes_on


class HangWatchdog(Callback):
    """Makes sure, where there are several processes, that no training step takes longer than `seconds`.

    Validation, evaluation and what else comes at the end of an epoch may take as long as they like.

    Args:
        seconds: from the beginning or the end of a step to the next of the two.

    Raises:
        ValueError: that is not a length of time.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"timeout is more than 0 seconds, not {seconds}")
        self.seconds = seconds
        self.since: float | None = None  # None: nobody is waited for
        self.step = 0
        self.ended = threading.Event()

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        if trainer.world_size > 1:
            self.ended.clear()
            threading.Thread(target=self._watch, args=(trainer,), daemon=True, name="hang watchdog").start()

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.since, self.step = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.since = None if trainer.is_last_batch else time.monotonic()

    def on_validation_start(self, *args: Any) -> None:
        self.since = None

    def on_train_end(self, *args: Any) -> None:
        self._stop()

    def on_exception(self, *args: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        self.since = None
        self.ended.set()

    def _watch(self, trainer: Trainer) -> None:
        while not self.ended.wait(min(1.0, self.seconds / 4)):
            since = self.since
            if since is not None and time.monotonic() - since > self.seconds:
                self._abort(trainer)

    def _abort(self, trainer: Trainer) -> None:
        """Prints the line and ends the process; the main thread is inside a library that does not come back."""
        print(
            f"train.py: error: process {trainer.global_rank} of {trainer.world_size} has waited {self.seconds:g} s for "
            f"the others in step {self.step}: one is gone or hangs; {goes_on()}",
            file=sys.stderr,
            flush=True,
        )
        launcher = trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGKILL)  # those that this process has started
        os._exit(LOST)
