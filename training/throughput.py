"""How fast training is: steps and items a second, measured over any number of steps."""

import time

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor


class Throughput:
    """Counts what a module takes in from `restart` on.

    A module that has `items_in_batch(batch) -> int | Tensor` has its items counted, as many on every rank. A tensor is
    added up where it lies, and nobody waits for it before `per_second`.
    """

    def __init__(self) -> None:
        self.since, self.step = 0.0, 0
        self.items: int | Tensor = 0

    def restart(self, step: int) -> None:
        """Begins again at a step."""
        self.since, self.step, self.items = time.monotonic(), step, 0

    def add(self, trainer: Trainer, pl_module: LightningModule, batch: object) -> None:
        """Counts a batch."""
        count = getattr(pl_module, "items_in_batch", None)
        if count is not None:
            self.items = self.items + count(batch) * trainer.world_size

    def seconds(self) -> float:
        """Since the restart."""
        return time.monotonic() - self.since

    def per_second(self, step: int) -> tuple[float, float]:
        """Steps and items a second since the restart."""
        items = float(self.items)  # waits for the device, and so for the work that is being timed
        elapsed = max(self.seconds(), 1e-9)
        return (step - self.step) / elapsed, items / elapsed
