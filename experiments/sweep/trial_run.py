"""One trial: a run of `train.py` as any other, watched through its metrics.csv, and ended where it is hopeless.

The run knows nothing of the sweep, so it may run on anything that `train.py` runs on, and be gone on with by hand. What
is decided follows from the values that it logged, in order, and not from when they were looked at.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import Trial, TrialState

from common.checks import suggest
from common.errors import DIVERGED
from common.files import write_text
from experiments.processes import end, end_orphan, failure, is_busy, log_of, run_lock, start, stop_if_asked
from experiments.sweep.claims import Claim
from experiments.sweep.overlay import locate, overlay, value_at
from experiments.sweep.recipe import Recipe
from experiments.sweep.space import propose
from experiments.sweep.store import Store, StoreAway
from training.configs import CONFIGS
from training.metrics_file import read_rows

POLL = 1.0  # seconds between two looks at a run
PATIENCE = 120.0  # seconds that a store may be away when a run has ended


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its state, its values if it is complete, and what there is to say where it failed."""

    state: TrialState
    values: list[float] | None = None
    why: str = ""
    crashed: bool = False


class Metrics:
    """What a run has logged of some metrics, read again when its file has changed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self._stat: tuple[int, int] | None = None
        self._columns: list[str] = []
        self._rows: list[dict[str, str]] = []

    def of(self, name: str) -> list[tuple[int, float]]:
        """(step, value) wherever a metric was logged."""
        self._read()
        return [(int(row["step"]), float(row[name])) for row in self._rows if row.get(name)]

    def columns(self) -> list[str]:
        """The metrics that were logged."""
        self._read()
        return [name for name in self._columns if name not in ("step", "epoch")]

    def _read(self) -> None:
        if not self.path.is_file():
            return
        found = os.stat(self.path)
        if (found.st_mtime_ns, found.st_size) != self._stat:
            self._columns, self._rows = read_rows(self.path)
            self._stat = found.st_mtime_ns, found.st_size


class Judge:
    """Reports what a run logs, and says when the sweep's pruner finds it hopeless.

    Args:
        trial: whose run it is.
        objective: the metric; None: several, of which Optuna prunes by none.
        last: the run's last step, at which nothing can be saved any more.
    """

    def __init__(self, trial: Trial, objective: str | None, last: int | None) -> None:
        self.trial, self.objective, self.last = trial, objective, last
        known = trial.storage.get_trial(trial._trial_id).intermediate_values
        self._known = max(known, default=-1)  # the newest step that is reported

    def hopeless(self, metrics: Metrics) -> bool:
        """Whether to end the run now."""
        if self.objective is None:
            return False
        for step, value in metrics.of(self.objective):
            if step < self._known:
                continue
            if step > self._known:
                self.trial.report(value, step)
                self._known = step
            # What was reported before a kill is judged again: the kill may have come between the two.
            if (self.last is None or step < self.last) and self.trial.should_prune():
                return True
        return False


class TrialRun:
    """Trains a trial.

    Args:
        recipe: the sweep.
        settings: all settings of its base config.
        runs_dir: where run folders are made.
        claim: the trial, ours.
        store: for what goes wrong with it.
        say: tells a line to whoever waits.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Mapping[str, Any],
        runs_dir: Path,
        claim: Claim,
        store: Store,
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.claim, self.store, self.say = recipe, claim, store, say
        self.folder, self.runs_dir = claim.folder, runs_dir
        with store.errors():
            self.values = {**recipe.fixed, **propose(claim.trial, recipe.space)}
            one = len(recipe.objective) == 1
            steps = _setting(settings, self.values, "trainer.max_steps")
            last = steps - 1 if isinstance(steps, int) and steps > 0 else None
            self.judge = Judge(claim.trial, next(iter(recipe.objective)) if one else None, last)
        self.metrics = Metrics(self.folder)
        self.config = self.folder.with_name(f"{self.folder.name}.yaml")
        write_text(self.config, trial_config(recipe, settings, self.values, self.folder.name))

    def run(self) -> Outcome:
        """Begins the run, or goes on with it, to its end.

        Raises:
            ValueError: an objective was not logged.
            TakenOver: the trial is another's by now.
        """
        orphan = is_busy(self.folder)
        if orphan:
            self.say(f"{self.folder.name} is still trained by what a killed sweep left: watching it")
        if self._watch(lambda: is_busy(self.folder), lambda: end_orphan(self.folder)):
            return Outcome(TrialState.PRUNED)
        log = log_of(self.folder)
        before = log.stat().st_size if log.exists() else 0
        words = ["train.py", "--config", str(self.config), "--runs_dir", str(self.runs_dir)]
        with run_lock(self.folder) as lock:
            process = start(self.folder, lock, words)
            try:
                pruned = self._watch(lambda: process.poll() is None, lambda: end(process))
            finally:
                end(process)
        if pruned:
            return Outcome(TrialState.PRUNED)
        if process.returncode:
            why = failure(self.folder, process.returncode, before)
            return Outcome(TrialState.FAIL, why=why, crashed=DIVERGED not in why)  # a rate may be too high
        return self._finished()

    def _watch(self, going: Callable[[], bool], stop: Callable[[], None]) -> bool:
        """Follows a run while it goes; True: it is hopeless, and was stopped."""
        away: float | None = None  # since when the store is
        while True:
            over = not going()  # looked at first, so that what is logged last is seen
            try:
                with self.store.errors():
                    if self.judge.hopeless(self.metrics):
                        stop()
                        return True
                    self.claim.beat()
                if over:
                    return False
                away = None
            except StoreAway as error:
                if away is None:
                    away = time.monotonic()
                    self.say(f"{error}; {self.folder.name} goes on")
                elif over and time.monotonic() - away > PATIENCE:
                    raise
            stop_if_asked()
            time.sleep(POLL)

    def _finished(self) -> Outcome:
        values = [self._last(name) for name in self.recipe.objective]
        if not all(map(isfinite, values)):
            return Outcome(
                TrialState.FAIL, why=f"{self.folder.name} ended with an objective that is no finite number"
            )
        return Outcome(TrialState.COMPLETE, values)

    def _last(self, name: str) -> float:
        logged = self.metrics.of(name)
        if not logged:
            hint = suggest(name, self.metrics.columns())
            raise ValueError(
                f"{self.folder.name} is finished and never logged the objective {name!r}: {hint}"
            )
        return logged[-1][1]


def trial_config(recipe: Recipe, settings: Mapping[str, Any], values: Mapping[str, Any], name: str) -> str:
    """A config that `train.py` takes: the base with a trial's values, as YAML."""
    ours = {"trainer.enable_progress_bar": False}
    content = {"extends": extended(recipe.base), "name": f"sweeps/{recipe.name}/{name}"}
    content |= overlay(settings, {**values, **ours}, recipe.path.name)
    return f"# Trial of a sweep: {recipe.path.name}.\n{yaml.safe_dump(content, sort_keys=False)}"


def extended(base: Sequence[Path]) -> list[str]:
    """Configs as `extends` names them from anywhere."""
    return [p.relative_to(CONFIGS).as_posix() if p.is_relative_to(CONFIGS) else str(p) for p in base]


def _setting(settings: Mapping[str, Any], values: Mapping[str, Any], key: str) -> Any:
    """A setting as a trial has it."""
    return values[key] if key in values else value_at(settings, locate(settings, key, "a sweep"))
