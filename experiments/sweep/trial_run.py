"""One trial: a run of `train.py` as any other, watched through its metrics.csv, and stopped where it is hopeless.

The run knows nothing of the sweep, so it may run on anything that `train.py` runs on, and be continued by hand.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from optuna.study import Study
from optuna.trial import TrialState

from common.checks import suggest
from common.errors import DIVERGED
from common.files import write_text
from experiments.processes import RunProcess, exit_if_asked, is_busy, run_lock, stop, stop_orphan
from experiments.sweep.claims import Claim
from experiments.sweep.overlay import locate, overlay, value_at
from experiments.sweep.pruning import Metrics, Pruning
from experiments.sweep.recipe import Recipe
from experiments.sweep.space import propose
from experiments.sweep.store import Store, StoreUnavailable
from training.configs import CONFIGS

POLL = 1.0  # seconds between two looks at a run
PATIENCE = 120.0  # seconds that a store may be unavailable when a run has ended


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its state, its values if it is complete, and why it failed."""

    state: TrialState
    values: list[float] | None = None
    why: str = ""
    crashed: bool = False


@dataclass(frozen=True)
class Sweep:
    """A sweep that is worked on.

    Attributes:
        recipe: its YAML.
        settings: all settings of its base config.
        study: its trials.
        store: where they are kept.
        runs_dir: where run folders are made.
        report: prints a line.
        on_trial_end: called after every trial.
    """

    recipe: Recipe
    settings: Mapping[str, Any]
    study: Study
    store: Store
    runs_dir: Path
    report: Callable[[str], None]
    on_trial_end: Callable[[], None]


class TrialRun:
    """Trains a trial of a sweep."""

    def __init__(self, sweep: Sweep, claim: Claim) -> None:
        self.sweep, self.claim, self.folder, recipe = sweep, claim, claim.folder, sweep.recipe
        with sweep.store.errors():
            self.values = {**recipe.fixed, **propose(claim.trial, recipe.space)}
            key = "trainer.max_steps"
            steps = self.values.get(key, value_at(sweep.settings, locate(sweep.settings, key, "a sweep")))
            last = steps - 1 if isinstance(steps, int) and steps > 0 else None
            objective = next(iter(recipe.objective)) if len(recipe.objective) == 1 else None
            self.pruning = Pruning(claim.trial, objective, last)
        self.metrics = Metrics(self.folder)
        self.config = self.folder.with_name(f"{self.folder.name}.yaml")
        write_text(self.config, trial_config(recipe, sweep.settings, self.values, self.folder.name))

    def run(self) -> Outcome:
        """Starts or continues the run, to its end.

        Raises:
            ValueError: an objective was not logged.
            TrialLost: the trial is another's by now.
        """
        if is_busy(self.folder):
            self.sweep.report(f"{self.folder.name} is still trained by what a killed sweep left: watching it")
        if self._watch(lambda: is_busy(self.folder), lambda: stop_orphan(self.folder)):
            return Outcome(TrialState.PRUNED)
        arguments = ["train.py", "--config", str(self.config), "--runs_dir", str(self.sweep.runs_dir)]
        with run_lock(self.folder) as lock:
            run = RunProcess(self.folder, lock, arguments)
            try:
                pruned = self._watch(lambda: run.process.poll() is None, lambda: stop(run.process))
            finally:
                stop(run.process)
        if pruned:
            return Outcome(TrialState.PRUNED)
        if why := run.failure():
            return Outcome(TrialState.FAIL, why=why, crashed=DIVERGED not in why)  # a rate may be too high
        values = [self._last(name) for name in self.sweep.recipe.objective]
        if not all(map(isfinite, values)):
            why = f"{self.folder.name} ended with an objective that is no finite number"
            return Outcome(TrialState.FAIL, why=why)
        return Outcome(TrialState.COMPLETE, values)

    def _watch(self, is_running: Callable[[], bool], stop_run: Callable[[], None]) -> bool:
        """Follows a run to its end; True: it is hopeless, and was stopped."""
        unavailable: float | None = None  # since when the store is
        while True:
            over = not is_running()  # looked at first, so that what is logged last is seen
            try:
                with self.sweep.store.errors():
                    if self.pruning.should_stop(self.metrics):
                        stop_run()
                        return True
                    self.claim.beat()
                if over:
                    return False
                unavailable = None
            except StoreUnavailable as error:
                if unavailable is None:
                    unavailable = time.monotonic()
                    self.sweep.report(f"{error}; {self.folder.name} goes on")
                elif over and time.monotonic() - unavailable > PATIENCE:
                    raise
            exit_if_asked()
            time.sleep(POLL)

    def _last(self, name: str) -> float:
        if logged := self.metrics.of(name):
            return logged[-1][1]
        hint = suggest(name, self.metrics.columns())
        raise ValueError(f"{self.folder.name} is finished and never logged the objective {name!r}: {hint}")


def trial_config(recipe: Recipe, settings: Mapping[str, Any], values: Mapping[str, Any], name: str) -> str:
    """A config that `train.py` takes: the base with a trial's values, as YAML."""
    content = {"extends": extended(recipe.base), "name": f"sweeps/{recipe.name}/{name}"}
    content |= overlay(settings, {**values, "trainer.enable_progress_bar": False}, recipe.path.name)
    return f"# Trial of a sweep: {recipe.path.name}.\n{yaml.safe_dump(content, sort_keys=False)}"


def extended(base: Sequence[Path]) -> list[str]:
    """Configs as `extends` names them from anywhere."""
    return [p.relative_to(CONFIGS).as_posix() if p.is_relative_to(CONFIGS) else str(p) for p in base]
