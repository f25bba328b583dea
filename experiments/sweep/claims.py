"""Who works on which trial. Several processes, on one machine or many, share a sweep; each trial has one at a time.

A worker holds a lock beside its trial's run and renews a beat in the store. On the same machine a lock that is free tells
that its worker is gone, and so does a beat that stands still anywhere else. Whoever finds that takes the trial over.
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

BEAT = 15.0  # seconds between two beats
DEAD = 120.0  # seconds after which a beat that stands still is a dead worker's
SETTLE = 1.0  # seconds in which two that take over one trial see each other
WORKER, PULSE, SURPLUS = "worker", "pulse", "surplus"  # what a trial keeps in the store


class TakenOver(Exception):
    """Another process took this trial, having thought this one dead."""


class Claim:
    """A trial that is ours until the claim is closed."""

    def __init__(self, trial: Trial, folder: Path, lock: ExitStack, mine: dict[str, str]) -> None:
        self.trial, self.folder = trial, folder
        self._lock, self._mine, self._beaten = lock, mine, -BEAT

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def sign(self) -> None:
        """Says in the store whose trial it is."""
        self.trial.set_user_attr(WORKER, self._mine)

    def beat(self) -> None:
        """Says in the store that we are alive, if it is time.

        Raises:
            TakenOver: the trial is another's by now.
        """
        if time.monotonic() - self._beaten < BEAT:
            return
        now = self.trial.storage.get_trial(self.trial._trial_id)  # the trial's own attributes are a copy
        if now.user_attrs.get(WORKER) != self._mine or now.state != TrialState.RUNNING:
            raise TakenOver(
                f"trial {now.number} was taken over by another process, which thought this one dead"
            )
        self.trial.set_user_attr(PULSE, time.time())
        self._beaten = time.monotonic()


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
        self._place = _place(folder)
        self._mine = {"place": self._place, "process": f"{os.getpid()}-{uuid.uuid4().hex[:8]}"}
        self._seen: dict[
            int, tuple[Any, float]
        ] = {}  # of a trial elsewhere: its beat, and when we first saw it

    def next(self) -> Claim | None:
        """A trial to work on; None: every trial is finished, or another's."""
        for frozen in self.running():
            if self._is_left(frozen) and (claim := self._take_over(frozen.number)):
                return claim
        return self._new() if len(self.made()) < self.trials else None

    def running(self) -> list[FrozenTrial]:
        """Trials under way, whoever works on them."""
        return [found for found in self.made() if found.state == TrialState.RUNNING]

    def made(self) -> list[FrozenTrial]:
        """All trials that count."""
        found = self.study.get_trials(deepcopy=False)
        return [trial for trial in found if not trial.user_attrs.get(SURPLUS)]

    def _is_left(self, frozen: FrozenTrial) -> bool:
        """Whether nobody seems to work on a trial."""
        if frozen.user_attrs.get(WORKER, {}).get("place") == self._place:
            return True  # its lock will tell
        beat = frozen.user_attrs.get(PULSE)
        before, since = self._seen.get(frozen.number, (None, 0.0))
        if frozen.number not in self._seen or beat != before:
            self._seen[frozen.number] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > DEAD

    def _take_over(self, number: int) -> Claim | None:
        lock = self._locked(number)
        if lock is None:
            return None
        frozen = next(found for found in self.study.get_trials(deepcopy=False) if found.number == number)
        if frozen.state != TrialState.RUNNING:  # finished while we looked
            lock.close()
            return None
        self.study.sampler = self.sampler_for(number)
        # Optuna has no other way back to a trial that is under way.
        claim = Claim(Trial(self.study, frozen._trial_id), self._run(number), lock, self._mine)
        claim.sign()
        if frozen.user_attrs.get(WORKER, {}).get("place") != self._place:
            time.sleep(SETTLE)
        try:
            claim.beat()
        except TakenOver:
            lock.close()
            return None
        return claim

    def _new(self) -> Claim | None:
        self.study.sampler = self.sampler_for(len(self.study.get_trials(deepcopy=False)))
        trial = self.study.ask()
        self.study.sampler = self.sampler_for(trial.number)
        if sum(found.number <= trial.number for found in self.made()) > self.trials:
            trial.set_user_attr(SURPLUS, True)  # two processes made the last one
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        lock = self._locked(trial.number)
        if lock is None:  # a run of another store
            raise Busy(
                f"{self._run(trial.number)} is worked on by another sweep: give this one a name: of its own"
            )
        claim = Claim(trial, self._run(trial.number), lock, self._mine)
        claim.sign()
        claim.beat()
        return claim

    def _run(self, number: int) -> Path:
        return self.folder / f"trial-{number:04d}"

    def _locked(self, number: int) -> ExitStack | None:
        lock = ExitStack()
        run = self._run(number)
        try:
            lock.enter_context(run_lock(run.with_name(f"{run.name}.worker")))
        except Busy:
            return None
        return lock


def tell(study: Study, trial: Trial, values: list[float] | None, state: TrialState) -> None:
    """Finishes a trial. A sampler that has nothing more to give wants to stop Optuna's own loop, which we have not."""
    try:
        study.tell(trial, values, state)
    except RuntimeError:
        if study.get_trials(deepcopy=False)[trial.number].state != state:
            raise


def _place(folder: Path) -> str:
    """This machine and this folder: two machines of one name, or two that share the folder, are two places."""
    folder.mkdir(parents=True, exist_ok=True)
    path, draft = folder / "place", folder / f"place.{uuid.uuid4().hex}"
    if not path.exists():
        draft.write_text(draft.suffix)
        with suppress(FileExistsError):
            os.link(draft, path)  # whole, and never over another's
        draft.unlink()
    return f"{socket.gethostname()} {path.read_text()}"
