"""Works on a sweep until all its trials are done: takes a trial, trains it, tells the store, and takes the next."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import TrialState

from experiments.processes import stop_if_asked
from experiments.sweep.claims import Claim, Claims, TakenOver, tell
from experiments.sweep.recipe import Recipe
from experiments.sweep.store import Store
from experiments.sweep.trial_run import Outcome, TrialRun

WHY = "why"  # what a failed trial keeps
IN_A_ROW = 3  # trials that crash one after the other end a sweep
WAIT = 2.0  # seconds between two looks at the trials of others


class Worker:
    """One of the processes that share a sweep.

    Args:
        recipe: the sweep.
        settings: all settings of its base config.
        study: its trials.
        store: where they are kept.
        runs_dir: where run folders are made.
        say: tells a line to whoever waits.
        done: called after every trial.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Mapping[str, Any],
        study: Study,
        store: Store,
        runs_dir: Path,
        say: Callable[[str], None],
        done: Callable[[], None],
    ) -> None:
        self.recipe, self.settings, self.study, self.store = recipe, settings, study, store
        self.runs_dir, self.say, self.done = runs_dir, say, done
        folder = runs_dir / "sweeps" / recipe.name
        with store.errors():
            self.claims = Claims(study, folder, recipe.trials, recipe.sampler_for)
        self.crashed = 0

    def work(self) -> None:
        """Returns when every trial of the sweep is finished, by whomever.

        Raises:
            ValueError: the first trial failed, several in a row did, or the store is away.
        """
        waiting = False
        while True:
            with self.store.errors():
                claim = self.claims.next()
            if claim is not None:
                waiting = False
                with claim:
                    self._train(claim)
            elif others := self._others():
                if not waiting:
                    self.say(f"waiting for {others} that other processes work on")
                waiting = True
                stop_if_asked()
                time.sleep(WAIT)
            else:
                return

    def _others(self) -> str:
        with self.store.errors():
            return ", ".join(f"trial {trial.number}" for trial in self.claims.running())

    def _train(self, claim: Claim) -> None:
        begin = time.monotonic()
        if claim.folder.exists():
            self.say(f"trial {claim.trial.number} goes on")
        run = TrialRun(self.recipe, self.settings, self.runs_dir, claim, self.store, self.say)
        try:
            outcome = run.run()
        except TakenOver as taken:
            self.say(str(taken))
            return
        self._count(outcome)
        with self.store.errors():
            if outcome.why:
                claim.trial.set_user_attr(WHY, outcome.why)
            tell(self.study, claim.trial, outcome.values, outcome.state)
        self.say(
            f"trial {claim.trial.number}: {self._told(claim, outcome)}, {time.monotonic() - begin:.0f} s"
        )
        self.done()

    def _count(self, outcome: Outcome) -> None:
        """Raises ValueError where what failed is not the trial's own fault; the same command tries it again."""
        self.crashed = self.crashed + 1 if outcome.crashed else 0
        with self.store.errors():
            well = any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.claims.made())
        if self.crashed and not well:
            raise ValueError(outcome.why)
        if self.crashed == IN_A_ROW:
            raise ValueError(f"{IN_A_ROW} trials failed one after the other, the last: {outcome.why}")

    def _told(self, claim: Claim, outcome: Outcome) -> str:
        if outcome.state == TrialState.COMPLETE:
            named = zip(self.recipe.objective, outcome.values or [], strict=True)
            return ", ".join(f"{name} {value:.4g}" for name, value in named)
        if outcome.state == TrialState.PRUNED:
            frozen = self.study.get_trials(deepcopy=False)[claim.trial.number]
            return f"pruned at step {frozen.last_step}"
        return outcome.why
