"""Batches from streams through worker processes, with a state that a checkpoint can hold for every rank."""

from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed as dist
from torch.utils.data import IterableDataset, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

from datamodules.stream import MixedStream


def world() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (
        (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
    )


class BatchStream(IterableDataset):
    """Groups a stream's items into batches, `length` of them an epoch; the next epoch goes on in the shards.

    Args:
        open_stream: (part, parts) -> the stream of one reader.
        collate: a list of items -> a batch.
        batch_size: items a batch.
        length: batches an epoch, over all workers of this rank. Having one keeps Lightning from fetching ahead.
    """

    def __init__(
        self,
        open_stream: Callable[[int, int], MixedStream],
        collate: Callable[[list[Any]], Any],
        batch_size: int,
        length: int,
    ) -> None:
        self.open_stream, self.collate, self.batch_size, self.length = (
            open_stream,
            collate,
            batch_size,
            length,
        )
        self.rank, self.world = world()
        self.done, self.state, self.stream = 0, None, None

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if self.stream is None:
            self.stream = self.open_stream(self.rank * workers + worker, self.world * workers)
        if self.state is not None:
            self.stream.load_state_dict(self.state)
            self.state = None
        items = iter(self.stream)
        mine = self.length // workers + (worker < self.length % workers)
        while self.done < mine:
            batch = self.collate([next(items) for _ in range(self.batch_size)])
            self.done += 1
            yield batch
        self.done = 0

    def state_dict(self) -> dict[str, Any]:
        """Batches given in this epoch, and where the stream stands."""
        return {
            "done": self.done,
            "stream": self.stream.state_dict() if self.stream is not None else self.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after `state`."""
        self.done, self.state = state["done"], state["stream"]


class RankLoader(StatefulDataLoader):
    """Lightning writes rank 0's checkpoint alone; this puts every rank's loader state into it."""

    def state_dict(self) -> dict[str, Any]:
        """The states of all ranks."""
        mine = super().state_dict()
        rank, size = world()
        if size == 1:
            return {"ranks": [mine]}
        states: list[Any] = [None] * size
        dist.all_gather_object(states, mine)
        return {"ranks": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """This rank's own state.

        Raises:
            ValueError: the checkpoint is of another number of ranks.
        """
        rank, size = world()
        if len(state["ranks"]) != size:
            raise ValueError(
                f"the checkpoint holds loader states of {len(state['ranks'])} ranks, this run has {size}"
            )
        super().load_state_dict(state["ranks"][rank])
