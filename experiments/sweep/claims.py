"""Which process works on which trial. Several, on one machine or many, share a sweep; each trial has one at a time.

A worker holds a lock beside its trial's run and renews a heartbeat in the store. On the same machine a free lock means
that its worker is gone; on any other, so does a heartbeat that stands still. Whoever finds that takes the trial over.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.processes import Busy, run_lock

HEARTBEAT_SECONDS = 15.0  # between two heartbeats
DEAD_SECONDS = 120.0  # after which a heartbeat that stands still is a dead worker's
SETTLE = 1.0  # seconds in which two that take over one trial see each other
WORKER, HEARTBEAT, SURPLUS = "worker", "heartbeat", "surplus"  # user attributes of a trial


class TrialLost(Exception):
    """Another process took this trial over, as if this one were dead."""


class Claim:
    """A trial that is ours until the claim is closed."""

    def __init__(self, trial: Trial, folder: Path, lock: ExitStack, worker: dict[str, str]) -> None:
        self.trial, self.folder = trial, folder
        self._lock, self._worker, self._last_beat = lock, worker, -HEARTBEAT_SECONDS
        trial.set_user_attr(WORKER, worker)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def beat(self) -> None:
        """Renews the heartbeat in the store, if it is time.

        Raises:
            TrialLost: the trial is another's by now.
        """
        if time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        now = self.trial.storage.get_trial(self.trial._trial_id)  # the trial's own attributes are a copy
        if now.user_attrs.get(WORKER) != self._worker or now.state != TrialState.RUNNING:
            raise TrialLost(f"trial {now.number} was taken over by another process, as if this one were dead")
        self.trial.set_user_attr(HEARTBEAT, time.time())
        self._last_beat = time.monotonic()


class Claims:
    """Gives a worker its trials: those whose worker died, and new ones.

    Args:
        study: of the sweep.
        folder: of the sweep, in which trial 7 is the run trial-0007.
        trials: how many there are to be.
        sampler_for: the sampler that chooses the values of a trial, by number.
    """

    def __init__(
        self, study: Study, folder: Path, trials: int, sampler_for: Callable[[int], BaseSampler]
    ) -> None:
        self.study, self.folder, self.trials, self.sampler_for = study, folder, trials, sampler_for
        self._worker = {"place": _place(folder), "process": f"{os.getpid()}-{uuid.uuid4().hex[:8]}"}
        # Of trials of other places: their heartbeats, and when we first saw those.
        self._seen: dict[int, tuple[Any, float]] = {}

    def next(self) -> Claim | None:
        """A trial to work on; None: every trial is finished, or another's."""
        for trial in self.running():
            if self._is_abandoned(trial) and (claim := self._take_over(trial.number)):
                return claim
        return self._new() if len(self.counted()) < self.trials else None

    def running(self) -> list[FrozenTrial]:
        """Trials under way, of all workers."""
        return [trial for trial in self.counted() if trial.state == TrialState.RUNNING]

    def counted(self) -> list[FrozenTrial]:
        """All trials that count."""
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if not trial.user_attrs.get(SURPLUS)]

    def _is_here(self, trial: FrozenTrial) -> bool:
        return trial.user_attrs.get(WORKER, {}).get("place") == self._worker["place"]

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        """Whether nobody seems to work on a trial; of one of this place its lock decides."""
        if self._is_here(trial):
            return True
        beat = trial.user_attrs.get(HEARTBEAT)
        if trial.number not in self._seen or beat != self._seen[trial.number][0]:
            self._seen[trial.number] = (beat, time.monotonic())
            return False
        return time.monotonic() - self._seen[trial.number][1] > DEAD_SECONDS

    def _take_over(self, number: int) -> Claim | None:
        lock = self._lock(number)
        if lock is None:
            return None
        trial = next(found for found in self.study.get_trials(deepcopy=False) if found.number == number)
        if trial.state != TrialState.RUNNING:  # finished while we looked
            lock.close()
            return None
        self.study.sampler = self.sampler_for(number)
        # Optuna has no other way back to a trial that is under way.
        claim = Claim(Trial(self.study, trial._trial_id), self._run(number), lock, self._worker)
        if not self._is_here(trial):
            time.sleep(SETTLE)
        try:
            claim.beat()
        except TrialLost:
            lock.close()
            return None
        return claim

    def _new(self) -> Claim | None:
        self.study.sampler = self.sampler_for(len(self.study.get_trials(deepcopy=False)))
        trial = self.study.ask()
        self.study.sampler = self.sampler_for(trial.number)
        if sum(found.number <= trial.number for found in self.counted()) > self.trials:
            trial.set_user_attr(SURPLUS, True)  # two processes made the last one
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        run = self._run(trial.number)
        lock = self._lock(trial.number)
        if lock is None:  # a run of another store
            raise Busy(f"{run} is worked on by another sweep: give this one a name: of its own")
        claim = Claim(trial, run, lock, self._worker)
        claim.beat()
        return claim

    def _run(self, number: int) -> Path:
        return self.folder / f"trial-{number:04d}"

    def _lock(self, number: int) -> ExitStack | None:
        run, lock = self._run(number), ExitStack()
        try:
            lock.enter_context(run_lock(run.with_name(f"{run.name}.worker")))
        except Busy:
            return None
        return lock


def finish(study: Study, trial: Trial, values: list[float] | None, state: TrialState) -> None:
    """Finishes a trial. A sampler that has nothing more to give wants to stop Optuna's own loop, which we have not."""
    try:
        study.tell(trial, values, state)
    except RuntimeError:
        if study.get_trials(deepcopy=False)[trial.number].state != state:
            raise


def _place(folder: Path) -> str:
    """Identifies this machine and this folder: of two machines of one name, or two that share the folder, each is one."""
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / "place", folder / f"place.{uuid.uuid4().hex}"
    if not path.exists():
        draft.write_text(draft.suffix)
        with suppress(FileExistsError):
            os.link(draft, path)  # whole, and never over another's
        draft.unlink()
    return f"{socket.gethostname()} {path.read_text()}"
