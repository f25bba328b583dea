"""The maximum of a number over all processes of a run, without waiting for a device.

Numbers go over a gloo group of their own, beside the gradients' traffic, and are read one step later, when they have
arrived. A reduction on the device would make the host wait for it at every step.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer


class PendingMax(NamedTuple):
    """A maximum that is being reduced."""

    value: torch.Tensor
    work: dist.Work | None

    def wait(self) -> float:
        """The maximum over all processes."""
        if self.work is not None:
            self.work.wait()
        return float(self.value)


class RankMax:
    """Reduces numbers to their maximum over all processes, each of which must make the same calls in the same order."""

    def __init__(self) -> None:
        self.group: dist.ProcessGroup | None = None

    @property
    def is_single_process(self) -> bool:
        """Whether there are no other processes."""
        return self.group is None

    def open(self, trainer: Trainer) -> None:
        """Joins the processes of a run that begins to train; once is enough."""
        if self.group is None and trainer.world_size > 1 and dist.is_available() and dist.is_initialized():
            self.group = dist.new_group(backend="gloo")

    def start(self, number: float) -> PendingMax:
        """Begins a reduction."""
        value, work = torch.tensor(number, dtype=torch.float64), None
        if self.group is not None:
            work = dist.all_reduce(value, dist.ReduceOp.MAX, self.group, async_op=True)
        return PendingMax(value, work)

    def reduce(self, number: float) -> float:
        """The maximum, waited for."""
        return self.start(number).wait()
