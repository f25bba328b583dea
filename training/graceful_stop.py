"""Ends a run where it can be resumed exactly: when a signal asks for it, or when `trainer.max_time` is over.

A stop is noted at once and acted on at the end of the step, by all processes together; where a run is one process and no
step is under way, as in a long evaluation, at once. What is unfinished by then, a validation or the end of training, is
noted in the checkpoint, and done when the run is resumed.
"""

import copy
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, Timer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from common.signals import STOP_SIGNALS, Stopped, shield_children
from training.csv_logger import AppendingCSVLogger
from training.parallel.rank_max import PendingMax, RankMax

STOPPING = (
    b"\ntrain.py: stopping once this step is done and saved; Ctrl-C again stops at once, without that\n"
)


class Phase(Enum):
    """What a run is doing, as far as it matters to a stop."""

    START = "nothing is trained yet"
    STEP = "a step, or what follows it"
    VALIDATION = "validation, and what is evaluated with it"
    BETWEEN = "the end of an epoch, or the beginning of training"
    END = "the end of training"
    OVER = "training has ended, and all of it is saved"


class GracefulStop(Callback):
    """Decides whether the run is to stop, and where. It is the first of the callbacks, `ResumeCheckpoint` the last.

    Args:
        rank_max: over the processes.
        seconds: of training, including validation, after which the run stops; None: no limit.
    """

    def __init__(self, rank_max: RankMax | None = None, seconds: float | None = None) -> None:
        self.rank_max, self.seconds = rank_max or RankMax(), seconds
        self.deadline = float("inf")
        self.reason = ""  # why this process is to stop
        self.is_agreed = False  # whether all of them are
        self.is_leaving = False
        self.is_immediate = False  # a second Ctrl-C wanted no checkpoint
        self.is_single_process = True  # no other process would wait for this one
        self.phase = Phase.START
        self.is_saved = lambda: True  # whether a checkpoint holds all that is done
        self.is_whole_step = lambda: True  # whether no gradients are being accumulated
        self.rows: dict[str, int] | None = (
            None  # of each CSV file, those before the unfinished validation or end
        )
        self.states: dict[str, Any] = {}  # of the other callbacks, as of then
        self._pending: PendingMax | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles STOP_SIGNALS, but those that are ignored (as SIGHUP under nohup) or someone else's."""
        self._owner = os.getpid()
        try:
            for number in STOP_SIGNALS:
                found = signal.getsignal(number)
                ours = found in (signal.SIG_DFL, signal.default_int_handler)
                if ours or (number == signal.SIGTERM and callable(found)):
                    self._handlers[number] = found
                    signal.signal(number, self._on_signal)
        except ValueError:  # not the main thread, which alone gets signals
            self._handlers.clear()
        try:
            yield
        finally:
            self.is_leaving = True
            shield_children(False)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    @property
    def is_due(self) -> bool:
        """Whether the run stops where it can: all processes know."""
        return self.is_agreed or (self.is_single_process and bool(self.reason))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # in a child
            return
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self._on_second_interrupt)
        self.reason = self.reason or signal.Signals(number).name
        if not self.is_leaving and self._can_leave_now():
            self.leave()
        if number == signal.SIGINT and not self.is_leaving:
            os.write(2, STOPPING)  # print may be what was interrupted

    def _on_second_interrupt(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.is_immediate = True
        raise KeyboardInterrupt

    def _can_leave_now(self) -> bool:
        """Whether raising here loses nothing: Python may be anywhere."""
        if not self.is_single_process or self.phase == Phase.STEP:
            return False
        if self.phase == Phase.VALIDATION:
            return self.is_whole_step()
        return self.phase != Phase.BETWEEN or self.is_saved()

    def leave(self) -> None:
        """Stops here.

        Raises:
            Stopped: always.
        """
        self.is_leaving = True
        raise Stopped(self.reason or "another process of the run was asked to stop")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        shield_children(bool(self._handlers))
        # Lightning's own handler broadcasts from within a signal, for which no other process waits
        trainer._signal_connector.register_signal_handlers = lambda: None
        # and each step of several processes would wait for its broadcast
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
        self.is_whole_step = lambda: not trainer.fit_loop.epoch_loop._should_accumulate()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rank_max.open(trainer)
        self.is_single_process, self.phase = trainer.world_size == 1, Phase.BETWEEN
        if self.seconds is not None:
            self.deadline = time.monotonic() + self.seconds
        if self.rows is not None:
            for logger in _csv_loggers(trainer):
                logger.keep(self.rows.get(logger.path.name))
        self.rows = None

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.phase = Phase.STEP

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if time.monotonic() >= self.deadline:
            self.reason = self.reason or "trainer.max_time"
        if self.rank_max.is_single_process:
            self.is_agreed = bool(self.reason)
            return
        self._read_pending()
        self._pending = self.rank_max.start(float(bool(self.reason)))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.snapshot(trainer)
        self.phase = Phase.VALIDATION
        if self.is_due and self.is_whole_step():
            self.leave()

    def end_validation(self) -> None:
        """Called when all callbacks have done their part of a validation."""
        if self.phase == Phase.VALIDATION:
            self.phase = Phase.STEP

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.phase = Phase.BETWEEN

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree()
        self.phase = Phase.BETWEEN

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.snapshot(trainer)
        self._agree()
        self.phase = Phase.END
        if self.is_agreed:
            self.leave()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.is_leaving = True

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows if self.phase in (Phase.VALIDATION, Phase.END) else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def _read_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self.is_agreed = pending.wait() > 0 or self.is_agreed

    def _agree(self) -> None:
        self._read_pending()
        self.is_agreed = self.rank_max.reduce(float(self.is_agreed or bool(self.reason))) > 0

    def snapshot(self, trainer: Trainer) -> None:
        """Keeps rows and callback states for a checkpoint, as what begins here is repeated where it does not end."""
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        files = _csv_loggers(trainer) if trainer.is_global_zero else []
        self.rows = {file.path.name: file.rows_before(step) for file in files}
        others = [one for one in trainer.callbacks if one is not self and not isinstance(one, Checkpoint)]
        self.states = copy.deepcopy({one.state_key: one.state_dict() for one in others})


def _csv_loggers(trainer: Trainer) -> list[AppendingCSVLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, AppendingCSVLogger)]


def refuse_timer(callbacks: Any) -> None:
    """Raises ValueError if a config's callbacks, as parsed, hold Lightning's Timer."""
    for one in callbacks if isinstance(callbacks, list) else [callbacks]:
        if str(getattr(one, "class_path", "")).rpartition(".")[2] == Timer.__name__:
            raise ValueError(
                "trainer.callbacks: a Timer would end the run as finished: give trainer.max_time instead"
            )


def session_seconds(max_time: Any) -> float | None:
    """The seconds of `trainer.max_time`, after which a run stops and can be resumed; None: no limit.

    Raises:
        ValueError: it is not a length of time.
    """
    if max_time is None:
        return None
    try:
        seconds = Timer(max_time)._duration
    except (MisconfigurationException, TypeError):
        seconds = 0
    if not seconds or seconds <= 0:
        raise ValueError(
            f"trainer.max_time is DD:HH:MM:SS, as 00:12:00:00 for twelve hours, not {max_time!r}"
        )
    return seconds
