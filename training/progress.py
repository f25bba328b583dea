"""The progress line of training: stage, step, loss, speed and the time that is left."""

import sys
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar

from training.speed import Throughput

if TYPE_CHECKING:  # it imports transformers' models, which takes seconds
    from lightning_modules.stage_module import StageModule

TERMINAL_SECONDS, FILE_SECONDS = 0.5, 30.0


class StageProgress(ProgressBar):
    """Redraws its line in a terminal; in a log file it writes a new one every half minute.

    Speed is in the items of the module's `items_in_batch(batch)`, called `items_name`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.enabled = True
        self.is_terminal = sys.stderr.isatty()
        self.throughput = Throughput()

    def enable(self) -> None:
        """Shows the line again."""
        self.enabled = True

    def disable(self) -> None:
        """Shows nothing from now on."""
        self.enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints above the line."""
        if self.is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        print(*args, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: "StageModule") -> None:
        self.throughput.restart(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: "StageModule", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.throughput.add(trainer, pl_module, batch)
        if self.throughput.seconds() >= (TERMINAL_SECONDS if self.is_terminal else FILE_SECONDS):
            self._write(self._line(trainer, pl_module))

    def on_validation_start(self, trainer: Trainer, pl_module: "StageModule") -> None:
        if self.is_terminal and not trainer.sanity_checking:
            self._write(f"{self.name}  validating at step {trainer.global_step:,}")

    def on_validation_end(self, trainer: Trainer, pl_module: "StageModule") -> None:
        self.throughput.restart(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: "StageModule") -> None:
        self._write(self._line(trainer, pl_module), end="\n")

    def _line(self, trainer: Trainer, pl_module: "StageModule") -> str:
        """The line, with the speed since the last one."""
        step, total = trainer.global_step, _total_steps(trainer)
        steps_per_second, items_per_second = self.throughput.per_second(step)
        self.throughput.restart(step)
        fields = [self.name, f"step {step:,}/{total:,}" if total else f"step {step:,}"]
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None:
            fields.append(f"loss {float(loss):.4g}")
        if items_per_second:
            fields.append(f"{items_per_second:,.0f} {pl_module.items_name}/s")
        if total and step < total and steps_per_second:
            fields.append(f"{_duration((total - step) / steps_per_second)} left")
        return "  ".join(fields)

    def _write(self, line: str, end: str = "") -> None:
        if self.enabled:
            sys.stderr.write(f"\r\x1b[K{line}{end}" if self.is_terminal else f"{line}\n")
            sys.stderr.flush()


def _total_steps(trainer: Trainer) -> int | None:
    """How many optimizer steps the run will have, where that is known."""
    steps = trainer.estimated_stepping_batches
    return None if steps in (-1, float("inf")) else int(steps)


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours} h"
