"""One line that says where training is: stage, step, loss, speed and the time that is left."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from training.throughput import Throughput

TERMINAL_SECONDS, FILE_SECONDS = 0.5, 30.0


class StageProgress(ProgressBar):
    """Redraws its line in a terminal; in a log file it writes a new one every half minute.

    A module that has `items_in_batch(batch)` gets its speed shown, in units of its `items_name`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.enabled = True
        self.live = sys.stderr.isatty()
        self.pace = Throughput()
        self.steps_per_second, self.items_per_second = 0.0, 0.0

    def enable(self) -> None:
        """Shows the line again."""
        self.enabled = True

    def disable(self) -> None:
        """Shows nothing from now on."""
        self.enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints above the line."""
        if self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        print(*args, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pace.restart(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.pace.add(trainer, pl_module, batch)
        if self.pace.seconds() >= (TERMINAL_SECONDS if self.live else FILE_SECONDS):
            self._measure(trainer.global_step)
            self._write(self._line(trainer, pl_module))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.live and not trainer.sanity_checking:
            self._write(f"{self.name}  validating at step {trainer.global_step:,}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pace.restart(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._measure(trainer.global_step)
        self._write(self._line(trainer, pl_module), end="\n")

    def _measure(self, step: int) -> None:
        self.steps_per_second, self.items_per_second = self.pace.per_second(step)
        self.pace.restart(step)

    def _line(self, trainer: Trainer, pl_module: LightningModule) -> str:
        step, total = trainer.global_step, _total_steps(trainer)
        parts = [self.name, f"step {step:,}/{total:,}" if total else f"step {step:,}"]
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None:
            parts.append(f"loss {float(loss):.4g}")
        if self.items_per_second:
            parts.append(f"{self.items_per_second:,.0f} {getattr(pl_module, 'items_name', 'items')}/s")
        if total and step < total and self.steps_per_second:
            parts.append(f"{_duration((total - step) / self.steps_per_second)} left")
        return "  ".join(parts)

    def _write(self, line: str, end: str = "") -> None:
        if self.enabled:
            sys.stderr.write(f"\r\x1b[K{line}{end}" if self.live else f"{line}\n")
            sys.stderr.flush()


def _total_steps(trainer: Trainer) -> int | None:
    """How many optimizer steps the run will have, where that is known."""
    steps = trainer.estimated_stepping_batches
    return None if steps in (-1, float("inf")) else int(steps)


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours} h"
