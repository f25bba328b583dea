"""Batches from readers through worker processes, with a state that a checkpoint can hold for every rank.

The data are shared out among a fixed number of readers, not among workers: each reader's state comes with its batch, so
the main process always knows the position of every reader as of the last batch that was used. Workers only do the
readers' work, and any number of them, or none, gives the same batches in the same order if it divides the readers'.
"""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch.distributed as dist
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from common.terminal import printable
from datamodules.precomputed import StaleCodes
from datamodules.skips import ReadCounts, Skip, SkipRate, SkipTally
from datamodules.stream import MixedStream
from models.distributed import world_size

log = logging.getLogger(__name__)

READERS = 4  # of each rank
CHECK_EVERY = 16  # batches between two checks of all ranks on what they have skipped together


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    size = world_size()
    return (dist.get_rank() if size > 1 else 0), size


class Batch(NamedTuple):
    """A batch, and what it is made of.

    Attributes:
        value: what the model takes.
        samples, tokens: by source.
        capacity: tokens that fit in it, padding among them; 0: images are not packed.
    """

    value: Any
    samples: dict[str, int]
    tokens: dict[str, int]
    capacity: int


class Reader(ABC):
    """Makes batches of its share of the data."""

    def __init__(self, stream: MixedStream) -> None:
        self.stream = stream

    @abstractmethod
    def batch(self) -> Batch:
        """The next batch."""

    def state_dict(self) -> dict[str, Any]:
        """The position of its stream."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state` was taken."""
        self.stream.load_state_dict(state)


OpenReader = Callable[[int, int], Reader]  # (shard_id, num_shards) -> the reader of one share


class WorkerBatch(NamedTuple):
    """A batch as it comes from a worker, with the reader that made it and that reader's state after it."""

    batch: Batch
    reader: int
    state: dict[str, Any]
    skips: list[Skip]
    reads: dict[str, ReadCounts]


class WorkerDataset(IterableDataset[WorkerBatch | Exception]):
    """What a worker runs: batches of this rank's readers in round-robin order, from batch `served` on.

    Args:
        open_reader: opens the reader of one share.
        readers: this rank's, by their numbers among all.
        num_readers: of all ranks.
    """

    def __init__(self, open_reader: OpenReader, readers: list[int], num_readers: int) -> None:
        self.open_reader, self.readers, self.num_readers = open_reader, readers, num_readers
        self.served, self.wanted = 0, 0
        self.states: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[WorkerBatch | Exception]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        opened: dict[int, Reader] = {}
        for number in range(self.served + worker, self.served + self.wanted, workers):
            which = reader_of(number, workers, self.readers)
            try:
                if which not in opened:
                    opened[which] = self._open(which)
                batch = opened[which].batch()
            except (
                ValueError,
                OSError,
                StaleCodes,
            ) as error:  # torch would wrap it in the worker's traceback
                yield error
                return
            yield WorkerBatch(batch, which, opened[which].state_dict(), *opened[which].stream.take_counts())

    def _open(self, which: int) -> Reader:
        reader = self.open_reader(which, self.num_readers)
        if which in self.states:
            reader.load_state_dict(self.states[which])
        return reader


def reader_of(batch: int, workers: int, readers: list[int]) -> int:
    """Which reader makes a batch.

    Each belongs to one of the workers, and where their number divides the readers' it does not matter what it is.
    """
    slot = batch % workers
    own = readers[slot::workers]
    return own[batch // workers % len(own)]


class RankLoader:
    """This rank's batches, `length` of them an epoch; the next epoch continues in the shards.

    Args:
        open_reader: opens the reader of one share of the data.
        length: batches an epoch.
        workers: processes that read; 0 reads in this one.
        readers: shares of each rank's data; no more workers than that are of use.
        max_skipped_fraction: the largest share of samples that may be skipped before the run stops.

    Attributes:
        skipped: what was skipped on this rank.
        rate: what all ranks have read, as of their last check.
        tokens, capacity: tokens by source and in all that fit, since a callback last reset them.
    """

    def __init__(
        self,
        open_reader: OpenReader,
        length: int,
        workers: int = 0,
        readers: int = READERS,
        max_skipped_fraction: float = 0.01,
    ) -> None:
        rank, size = rank_and_world_size()
        self.workers, self.length = min(workers, readers), length
        self.max_skipped_fraction = max_skipped_fraction
        self.dataset = WorkerDataset(open_reader, list(range(rank, readers * size, size)), readers * size)
        self.yielded = 0  # batches of this epoch
        self.resumed_at = 0  # of them, those of the run that this one resumes
        self.skipped = SkipTally()
        self.rate = SkipRate()
        self._unchecked = SkipRate()  # what this rank has read since then
        self._truncated: set[str] = set()  # sources that were warned of
        self.tokens: Counter[str] = Counter()
        self.capacity = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        # a caller that knows the length never asks for an epoch's end
        self.yielded = self.resumed_at if self.resumed_at < self.length else 0
        self.resumed_at = 0
        self.dataset.wanted = self.length - self.yielded
        prefetch = 4 if self.workers else None
        loader = DataLoader(self.dataset, batch_size=None, num_workers=self.workers, prefetch_factor=prefetch)
        for made in loader:
            if isinstance(made, Exception):
                raise made
            self.dataset.states[made.reader] = made.state
            self.dataset.served += 1
            self.yielded += 1
            self._count(made)
            yield made.batch.value

    def reopen(self, open_reader: OpenReader) -> None:
        """Opens other readers from the next epoch on; each continues at the position of the one before it."""
        self.dataset.open_reader = open_reader

    def _count(self, made: WorkerBatch) -> None:
        self.skipped.delivered.update(made.batch.samples)
        self.skipped.add(made.skips)
        self.tokens.update(made.batch.tokens)
        self.capacity += made.batch.capacity
        self._unchecked.add(made.reads)
        for name in {name for name, read in made.reads.items() if read.truncated} - self._truncated:
            shown = printable(name)
            log.warning("documents of %s are longer than a row and are cut: see data/truncated", shown)
            self._truncated.add(name)
        served = self.dataset.served
        if served > CHECK_EVERY and served % CHECK_EVERY:
            return
        ranks = _all_gather((self._unchecked.sources, self.skipped.most_frequent()))
        self._unchecked = SkipRate()
        for reads, _ in ranks:
            self.rate.add(reads)
        # all ranks have the same numbers, so all of them stop or none does
        self.rate.check(self.max_skipped_fraction, next((reason for _, reason in ranks if reason), ""))

    def truncated(self) -> dict[str, tuple[int, int]]:
        """Documents that were cut to fit a row, and the tokens that they lost, by source.

        Of all ranks as of their last check, and of this one.
        """
        both = SkipRate()
        for rate in (self.rate, self._unchecked):
            both.add(rate.sources)
        reads = sorted(both.sources.items())
        return {name: (read.truncated, read.lost_tokens) for name, read in reads if read.truncated}

    def state_dict(self) -> dict[str, Any]:
        """The readers of all ranks, and what was counted."""
        own = {
            "states": dict(self.dataset.states),
            "skipped": self.skipped.state_dict(),
            "unchecked": self._unchecked.state_dict(),
            "tokens": dict(self.tokens),
            "capacity": self.capacity,
        }
        return {
            "readers": self.dataset.num_readers,
            "workers": self.workers,
            "served": self.dataset.served,
            "yielded": self.yielded,
            "rate": self.rate.state_dict(),
            "ranks": _all_gather(own),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state` was taken, with any number of workers, and of ranks that can share out its readers.

        Raises:
            ValueError: they cannot.
        """
        rank, size = rank_and_world_size()
        readers, ranks = state["readers"], state["ranks"]
        if readers % size:
            raise ValueError(
                f"the checkpoint's data are shared out among {readers} readers ({len(ranks)} ranks), which {size} ranks "
                f"cannot divide equally: continue with a number of ranks that divides {readers}"
            )
        own = list(range(rank, readers, size))
        workers, before = self.workers, state["workers"]
        if workers != before and any(len(own) % max(1, number) for number in (workers, before)):
            log.warning(
                "the order of batches changes: %d workers read now, %d before, and one of them does not divide %d; "
                "every sample still comes once in its source's epoch",
                workers,
                before,
                len(own),
            )
        states = {reader: found for one in ranks for reader, found in one["states"].items()}
        self.dataset.readers, self.dataset.num_readers = own, readers
        self.dataset.states = {reader: states[reader] for reader in own if reader in states}
        self.dataset.served = state["served"] * len(ranks) // size
        self.yielded = self.resumed_at = state["yielded"]
        self.rate.load_state_dict(state["rate"])
        for one in ranks:
            unchecked = SkipRate()
            unchecked.load_state_dict(one["unchecked"])
            self.rate.add(unchecked.sources)
        if len(ranks) == size:
            self.skipped.load_state_dict(ranks[rank]["skipped"])
            self.tokens, self.capacity = Counter(ranks[rank]["tokens"]), ranks[rank]["capacity"]


def _all_gather(own: Any) -> list[Any]:
    """What each rank gives."""
    _, size = rank_and_world_size()
    ranks = [own]
    if size > 1:
        ranks = [None] * size
        dist.all_gather_object(ranks, own)
    return ranks
