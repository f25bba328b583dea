"""Ends a run where it can go on exactly: when a signal asks for it, or when `trainer.max_time` is over.

A stop is noted at once and acted on at the end of the step, by all processes together; where a run is one process and no
step is under way, as in a long evaluation, at once. What is owed by then, a validation or the end of training, is in the
checkpoint, and done when the run goes on.
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
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from common.signals import STOP_SIGNALS, Stopped, shield_children
from training.csv_logger import AppendingCSVLogger
from training.parallel.rank_max import RankMax, PendingMax

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
    """Knows whether the run is to stop, and where it may. It stands first among the callbacks, `ResumeCheckpoint` last.

    Args:
        agreement: with the other processes.
        seconds: of training, validation among it, after which the run stops; None: no limit.
    """

    def __init__(self, agreement: RankMax | None = None, seconds: float | None = None) -> None:
        self.agreement, self.seconds = agreement or RankMax(), seconds
        self.deadline = float("inf")
        self.reason = ""  # why this process is to stop
        self.agreed = False  # whether all of them are
        self.leaving = False
        self.at_once = False  # a second Ctrl-C wanted no checkpoint
        self.alone = True  # no other process would wait for this one
        self.phase = Phase.START
        self.is_saved = lambda: True  # whether a checkpoint holds all that is done
        self.whole_step = lambda: True  # whether no gradients are being accumulated
        self.rows: dict[str, int] | None = None  # of each file, those before what is owed
        self.states: dict[str, Any] = {}  # of the callbacks, before what is owed
        self._answer: PendingMax | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes STOP_SIGNALS, but those that are ignored (as SIGHUP under nohup) or someone else's."""
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
            self.leaving = True
            shield_children(False)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    @property
    def wanted(self) -> bool:
        """Whether the run stops where it can: all processes know."""
        return self.agreed or (self.alone and bool(self.reason))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # in a child
            return
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self._on_second_interrupt)
        self.reason = self.reason or signal.Signals(number).name
        if not self.leaving and self._nothing_to_wait_for():
            self.leave()
        if number == signal.SIGINT and not self.leaving:
            os.write(2, STOPPING)  # print may be what was interrupted

    def _on_second_interrupt(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.at_once = True
        raise KeyboardInterrupt

    def _nothing_to_wait_for(self) -> bool:
        """Whether raising here loses nothing: Python may be anywhere."""
        if not self.alone:
            return False
        if self.phase == Phase.VALIDATION:
            return self.whole_step()
        return self.phase in (Phase.START, Phase.END, Phase.OVER) or (
            self.phase == Phase.BETWEEN and self.is_saved()
        )

    def leave(self) -> None:
        """Stops here.

        Raises:
            Stopped: always.
        """
        self.leaving = True
        raise Stopped(self.reason or "another process of the run was asked to stop")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        shield_children(bool(self._handlers))
        # Lightning's own handler broadcasts from within a signal, for which no other process waits
        trainer._signal_connector.register_signal_handlers = lambda: None
        # and each step of several processes would wait for its broadcast
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
        self.whole_step = lambda: not trainer.fit_loop.epoch_loop._should_accumulate()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.agreement.open(trainer)
        self.alone, self.phase = trainer.world_size == 1, Phase.BETWEEN
        self.deadline = time.monotonic() + (float("inf") if self.seconds is None else self.seconds)
        rows, self.rows = self.rows, None
        for logger in trainer.loggers if rows is not None else ():
            if isinstance(logger, AppendingCSVLogger):
                logger.keep(rows.get(logger.path.name))

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.phase = Phase.STEP

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if time.monotonic() >= self.deadline:
            self.reason = self.reason or "trainer.max_time"
        if self.agreement.alone:
            self.agreed = bool(self.reason)
            return
        if self._answer is not None:
            self.agreed = self.agreed or self._answer.get() > 0
        self._answer = self.agreement.ask(float(bool(self.reason)))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.note(trainer)
        self.phase = Phase.VALIDATION
        if self.wanted and self.whole_step():
            self.leave()

    def end_validation(self, trainer: Trainer) -> None:
        """Called when all callbacks have had their share of it."""
        if self.phase == Phase.VALIDATION:
            self.phase = Phase.STEP

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.phase = Phase.BETWEEN

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.agreed = self._agree_now()
        self.phase = Phase.BETWEEN

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.note(trainer)
        self.agreed = self._agree_now()
        self.phase = Phase.END
        if self.agreed:
            self.leave()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.leaving = True

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows if self.phase in (Phase.VALIDATION, Phase.END) else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def _agree_now(self) -> bool:
        if self._answer is not None:
            self.agreed, self._answer = self.agreed or self._answer.get() > 0, None
        return self.agreement.largest(float(self.agreed or bool(self.reason))) > 0

    def note(self, trainer: Trainer) -> None:
        """Keeps what a checkpoint must hold of here, where what follows is begun and not ended, and is done again."""
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        files = [one for one in trainer.loggers if isinstance(one, AppendingCSVLogger)]
        self.rows = {file.path.name: file.rows_before(step) for file in files if trainer.is_global_zero}
        others = [one for one in trainer.callbacks if one is not self and not isinstance(one, Checkpoint)]
        self.states = copy.deepcopy({one.state_key: one.state_dict() for one in others})
