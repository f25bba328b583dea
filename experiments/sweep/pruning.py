"""When a trial is hopeless: what its run has logged, and what the sweep's pruner says of it."""

import os
from pathlib import Path

from optuna.trial import Trial

from training.metrics_file import read_rows


class Metrics:
    """What a run has logged, read again when its metrics.csv has changed."""

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


class Pruning:
    """Reports what a run logs to the sweep's pruner, value by value: when it is looked at decides nothing.

    Args:
        trial: whose run it is.
        objective: the metric; None: several, for which Optuna has no pruning.
        last: the run's last step, at which nothing can be saved any more.
    """

    def __init__(self, trial: Trial, objective: str | None, last: int | None) -> None:
        self.trial, self.objective, self.last = trial, objective, last
        reported = trial.storage.get_trial(trial._trial_id).intermediate_values
        self._reported = max(reported, default=-1)  # the newest step

    def should_stop(self, metrics: Metrics) -> bool:
        """Whether the run is hopeless."""
        if self.objective is None:
            return False
        for step, value in metrics.of(self.objective):
            if step < self._reported:
                continue
            if step > self._reported:
                self.trial.report(value, step)
                self._reported = step
            # What was reported before a kill is asked again: the kill may have come between the two.
            if (self.last is None or step < self.last) and self.trial.should_prune():
                return True
        return False
