"""The processes that `torchrun` started, which share the drawing of images; usually there is one alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

TIMEOUT = timedelta(days=30)  # a process that is done waits for the slowest, and images may take days
Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """The rank of this process, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process checks, scores and reports."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's share of the items, which does not depend on what was done before."""
        return list(items[self.rank :: self.world])

    def wait(self) -> None:
        """Returns once every process has come here."""
        if self.world > 1:
            from torch import distributed

            distributed.barrier()


ALONE = Ranks()


@contextmanager
def join_processes() -> Iterator[Ranks]:
    """Joins the processes that torchrun started; without it, this process is alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    if torch.accelerator.is_available():
        own = int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count()
        torch.accelerator.set_device_index(own)
    distributed.init_process_group("gloo", timeout=TIMEOUT)  # it only waits: nothing is sent
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()
