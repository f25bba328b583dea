"""Works on a sweep until all its trials are done: claims a trial, trains it, stores the outcome, and goes on."""

import time

from optuna.trial import TrialState

from experiments.processes import exit_if_asked
from experiments.sweep.claims import Claim, Claims, TrialLost, finish
from experiments.sweep.trial_run import Outcome, Sweep, TrialRun

WHY = "why"  # user attribute of a failed trial
MAX_CRASHES = 3  # trials that crash one after the other end a sweep
WAIT = 2.0  # seconds between two looks at the trials of others


class Worker:
    """One of the processes that share a sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, recipe = sweep, sweep.recipe
        folder = sweep.runs_dir / "sweeps" / recipe.name
        with sweep.store.errors():
            self.claims = Claims(sweep.study, folder, recipe.trials, recipe.sampler_for)
        self.crashes = 0  # one after the other

    def work(self) -> None:
        """Returns when every trial of the sweep is finished, by whichever process.

        Raises:
            ValueError: the first trial failed, several in a row did, or the store is unavailable.
        """
        waiting = False
        while True:
            with self.sweep.store.errors():
                claim = self.claims.next()
                others = ", ".join(f"trial {trial.number}" for trial in self.claims.running())
            if claim is not None:
                with claim:
                    self._train(claim)
            elif not others:
                return
            else:
                if not waiting:
                    self.sweep.report(f"waiting for {others} that other processes work on")
                exit_if_asked()
                time.sleep(WAIT)
            waiting = claim is None

    def _train(self, claim: Claim) -> None:
        start, number = time.monotonic(), claim.trial.number
        if claim.folder.exists():
            self.sweep.report(f"trial {number} goes on")
        run = TrialRun(self.sweep, claim)
        try:
            outcome = run.run()
        except TrialLost as lost:
            self.sweep.report(str(lost))
            return
        self._check_crashes(outcome)
        with self.sweep.store.errors():
            if outcome.why:
                claim.trial.set_user_attr(WHY, outcome.why)
            finish(self.sweep.study, claim.trial, outcome.values, outcome.state)
        result = self._describe(claim, outcome)
        self.sweep.report(f"trial {number}: {result}, {time.monotonic() - start:.0f} s")
        self.sweep.on_trial_end()

    def _check_crashes(self, outcome: Outcome) -> None:
        """Raises ValueError where what failed is not the trial's own fault; the same command tries it again."""
        self.crashes = self.crashes + 1 if outcome.crashed else 0
        with self.sweep.store.errors():
            any_good = any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.claims.counted())
        if self.crashes and not any_good:
            raise ValueError(outcome.why)
        if self.crashes == MAX_CRASHES:
            raise ValueError(f"{MAX_CRASHES} trials failed one after the other, the last: {outcome.why}")

    def _describe(self, claim: Claim, outcome: Outcome) -> str:
        if outcome.state == TrialState.COMPLETE:
            named = zip(self.sweep.recipe.objective, outcome.values or [], strict=True)
            return ", ".join(f"{name} {value:.4g}" for name, value in named)
        if outcome.state == TrialState.PRUNED:
            return (
                f"pruned at step {self.sweep.study.get_trials(deepcopy=False)[claim.trial.number].last_step}"
            )
        return outcome.why
