"""metrics.csv and machine.csv: one row a logged step, on disk as soon as it is logged, and never wiped.

Lightning's own CSVLogger keeps up to 100 rows in memory and starts an existing file over when a run resumes. Speed and
memory are in a file of their own, for no second run reproduces them, and metrics.csv holds only what one would.
"""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from common.files import write_text
from training.metrics_file import read_rows

MACHINE = ("speed/", "memory/")  # prefixes of what depends on the machine, and on what else it was doing


def is_logged(trainer: Trainer, done: bool = False) -> bool:
    """Whether the step that is under way is logged; `done` asks of the one that was just done."""
    every, step = trainer.log_every_n_steps, trainer.global_step + (0 if done else 1)
    return every > 0 and step % every == 0


def last_step(trainer: Trainer) -> int:
    """The step that measurements between two steps are logged at: the last that was done.

    A resume cuts rows from its own step on, and would cut those of an epoch's end if they bore the next.
    """
    return max(0, trainer.global_step - 1)


class AppendingCSVLogger(Logger):
    """Appends rows to `path`; the first row after a resume cuts what was logged from that step on.

    A run that resumes from a checkpoint logs each step past it again: the rows that are cut.

    Args:
        path: the file.
        machine: it holds the metrics of MACHINE, and no others.
    """

    def __init__(self, path: Path, machine: bool = False) -> None:
        super().__init__()
        self.path, self.machine = Path(path), machine
        self.columns: list[str] = []
        self.is_open = False
        self.count = 0  # rows, once it is open
        self.kept: int | None = None  # of the existing rows

    @property
    def name(self) -> str:
        return self.path.parent.name

    @property
    def version(self) -> str:
        return ""  # a run folder holds one run

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    log_dir = save_dir

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        step = 0 if step is None else step
        own = {key: value for key, value in metrics.items() if key.startswith(MACHINE) == self.machine}
        if not own.keys() - {"epoch"}:  # Lightning adds it to everything
            return
        row = {"step": str(step), **{key: repr(value) for key, value in own.items()}}
        self._open(step)
        if new := sorted(row.keys() - set(self.columns)):
            self._rewrite(read_rows(self.path)[1], self.columns + new)
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            self._writer(file).writerow(row)
        self.count += 1

    def keep(self, count: int | None) -> None:
        """The first row after a resume cuts all but the first `count`, whatever their steps; None: by step, as ever."""
        self.kept = count

    def rows_before(self, step: int) -> int:
        """How many rows there are; where none was written since the run resumed, how many it keeps from `step` on."""
        if self.path.is_file():
            self._open(step)
        return self.count

    def _open(self, step: int) -> None:
        """Cuts the rows of `step` and later, once."""
        if self.is_open:
            return
        self.is_open = True
        columns, rows = read_rows(self.path)
        kept = rows[: self.kept] if self.kept is not None else [r for r in rows if int(r["step"]) < step]
        self._rewrite(kept, columns or ["step"])

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        self.columns, self.count = columns, len(rows)
        text = io.StringIO(newline="")
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def _writer(self, file: Any) -> csv.DictWriter:
        return csv.DictWriter(file, self.columns, restval="", lineterminator="\n")
