"""What all processes of a run agree on between two steps, without anyone waiting for a device.

Numbers go over a gloo group of their own, beside the gradients' traffic, and are looked at one step later, when they are
there. A reduction on the device would make the host wait for it at every step.
"""

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer


class RankMax:
    """The largest of a number over all processes; each must ask the same questions in the same order."""

    def __init__(self) -> None:
        self.group: dist.ProcessGroup | None = None

    @property
    def alone(self) -> bool:
        """Whether there is nobody to agree with."""
        return self.group is None

    def open(self, trainer: Trainer) -> None:
        """Joins the processes of a run that begins to train; once is enough."""
        if self.group is None and trainer.world_size > 1 and dist.is_available() and dist.is_initialized():
            self.group = dist.new_group(backend="gloo")

    def close(self) -> None:
        """Forgets the group, which ends with the run's own."""
        self.group = None

    def ask(self, number: float) -> "PendingMax":
        """Begins to look for the largest."""
        value = torch.tensor(number, dtype=torch.float64)
        work = (
            None
            if self.group is None
            else dist.all_reduce(value, dist.ReduceOp.MAX, self.group, async_op=True)
        )
        return PendingMax(value, work)

    def largest(self, number: float) -> float:
        """The largest, waited for."""
        return self.ask(number).get()


class PendingMax:
    """A number that is on its way."""

    def __init__(self, value: torch.Tensor, work: dist.Work | None) -> None:
        self._value, self._work = value, work

    def get(self) -> float:
        """The largest over all processes."""
        if self._work is not None:
            self._work.wait()
            self._work = None
        return float(self._value)
