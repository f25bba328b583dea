"""Batches from readers through worker processes, with a state that a checkpoint can hold for every rank.

The data are shared out among a fixed number of readers, not among workers: each reader's state travels with its batch, so
the main process always knows where every reader stands as of the last batch that was used. Workers only do the
readers' work, and any number of them, or none, gives the same batches in the same order if it divides the readers'.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch.distributed as dist
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from common.terminal import printable
from datamodules.precomputed import StaleCodes
from datamodules.skip_rate import Reads, SkipRate
from datamodules.skipped import Skip, Skipped

log = logging.getLogger(__name__)

READERS = 4  # of each rank
CHECK_EVERY = 16  # batches between two looks of all ranks at what they have skipped together


def world() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (
        (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
    )


class Batch(NamedTuple):
    """A batch, and what it is made of.

    Attributes:
        value: what the model takes.
        samples, tokens: by source.
        room: tokens that would have had room in it, padding among them.
    """

    value: Any
    samples: dict[str, int]
    tokens: dict[str, int]
    room: int


class Reader(Protocol):
    """Makes batches from its part of the data."""

    def batch(self) -> Batch:
        """The next batch."""
        ...

    def take_skips(self) -> list[Skip]:
        """What was skipped since the last time."""
        ...

    def take_reads(self) -> dict[str, Reads]:
        """What was read since the last time, by source."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        ...


class Delivery(NamedTuple):
    """A batch as it comes from a worker, with the reader that made it and where that reader stands after it."""

    batch: Batch
    reader: int
    state: dict[str, Any]
    skips: list[Skip]
    reads: dict[str, Reads]


class Deliveries(IterableDataset):
    """What a worker runs: batches of this rank's readers in turn, from batch `served` on.

    Args:
        open_reader: (part, parts) -> the reader of one part.
        readers: this rank's, by their numbers among all.
        of: how many readers there are in all.
    """

    def __init__(self, open_reader: Callable[[int, int], Reader], readers: list[int], of: int) -> None:
        self.open_reader, self.readers, self.of = open_reader, readers, of
        self.served, self.wanted = 0, 0
        self.states: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator["Delivery | Exception"]:
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
            reader = opened[which]
            yield Delivery(batch, which, reader.state_dict(), reader.take_skips(), reader.take_reads())

    def _open(self, which: int) -> Reader:
        reader = self.open_reader(which, self.of)
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
    """This rank's batches, `length` of them an epoch; the next epoch goes on in the shards.

    Args:
        open_reader: (part, parts) -> the reader of one part of the data.
        length: batches an epoch.
        workers: processes that read; 0 reads in this one.
        readers: parts that each rank's share is read in; no more workers than that are of use.
        max_skipped_fraction: the largest share of samples that may be skipped before the run stops.

    Attributes:
        skipped: what was skipped on this rank.
        rate: what all ranks have read, as of the last time that they looked together.
        tokens, room: tokens by source, and how many there was room for, since somebody last set them back.
    """

    def __init__(
        self,
        open_reader: Callable[[int, int], Reader],
        length: int,
        workers: int = 0,
        readers: int = READERS,
        max_skipped_fraction: float = 0.01,
    ) -> None:
        rank, size = world()
        self.workers, self.length = min(workers, readers), length
        self.max_skipped_fraction = max_skipped_fraction
        self.deliveries = Deliveries(open_reader, list(range(rank, readers * size, size)), readers * size)
        self.given = 0  # batches of this epoch
        self.begun = 0  # of them, those that were given before this run began
        self.skipped = Skipped()
        self.rate = SkipRate()
        self._fresh = SkipRate()  # what this rank has read since then
        self._cut: set[str] = set()  # sources of which that was said
        self.tokens: Counter[str] = Counter()
        self.room = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        start = (
            self.begun if self.begun < self.length else 0
        )  # whoever knows the length never asks for an epoch's end
        self.begun, self.given = 0, start
        self.deliveries.wanted = self.length - start
        workers = DataLoader(
            self.deliveries,
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
        )
        for delivery in workers:
            if isinstance(delivery, Exception):
                raise delivery
            batch, reader, state, skips, reads = delivery
            self.deliveries.states[reader] = state
            self.deliveries.served += 1
            self.given += 1
            self._count(batch, skips, reads)
            yield batch.value

    def reopen(self, open_reader: Callable[[int, int], Reader]) -> None:
        """Opens the readers otherwise from the next epoch on; each goes on where it stands."""
        self.deliveries.open_reader = open_reader

    def _count(self, batch: Batch, skips: list[Skip], reads: dict[str, Reads]) -> None:
        self.skipped.given.update(batch.samples)
        self.skipped.add(skips)
        self.tokens.update(batch.tokens)
        self.room += batch.room
        self._fresh.add(reads)
        for name, read in reads.items():
            if read.cut and name not in self._cut:
                log.warning(
                    "documents of %s are longer than a row, and are cut: data/cut counts them",
                    printable(name),
                )
                self._cut.add(name)
        served = self.deliveries.served
        if served > CHECK_EVERY and served % CHECK_EVERY:
            return
        said = self._gathered({"reads": self._fresh.sources, "most": self.skipped.most()})
        self._fresh = SkipRate()
        for rank in said:
            self.rate.add(rank["reads"])
        # all ranks have the same numbers, so all of them stop or none does
        self.rate.check(self.max_skipped_fraction, next((rank["most"] for rank in said if rank["most"]), ""))

    def cut(self) -> dict[str, tuple[int, int]]:
        """Documents that were cut to fit a row, and the tokens that they lost, by source.

        Of all ranks as of the last time that they looked together, and of this one.
        """
        both = SkipRate()
        for rate in (self.rate, self._fresh):
            both.add(rate.sources)
        return {
            name: (reads.cut, reads.cut_tokens) for name, reads in sorted(both.sources.items()) if reads.cut
        }

    def _gathered(self, mine: Any) -> list[Any]:
        """What each rank has to say."""
        _, size = world()
        ranks: list[Any] = [mine]
        if size > 1:
            ranks = [None] * size
            dist.all_gather_object(ranks, mine)
        return ranks

    def state_dict(self) -> dict[str, Any]:
        """Where the readers of all ranks stand."""
        mine = {
            "states": dict(self.deliveries.states),
            "skipped": self.skipped.state_dict(),
            "fresh": self._fresh.state_dict(),
            "tokens": dict(self.tokens),
            "room": self.room,
        }
        return {
            "readers": self.deliveries.of,
            "workers": self.workers,
            "served": self.deliveries.served,
            "given": self.given,
            "rate": self.rate.state_dict(),
            "ranks": self._gathered(mine),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken, with any number of workers and with ranks that can share out its readers.

        Raises:
            ValueError: they cannot.
        """
        rank, size = world()
        readers, ranks = state["readers"], state["ranks"]
        if readers % size:
            raise ValueError(
                f"the checkpoint's data are shared out among {readers} readers ({len(ranks)} ranks), which {size} ranks "
                f"cannot divide equally: go on with a number of ranks that divides {readers}"
            )
        mine = list(range(rank, readers, size))
        if state["workers"] != self.workers and any(
            len(mine) % max(1, workers) for workers in (self.workers, state["workers"])
        ):
            log.warning(
                "the order of batches changes: %d workers read now, %d before, and one of them does not divide %d; "
                "every sample still comes once in its source's turn",
                self.workers,
                state["workers"],
                len(mine),
            )
        self.deliveries.readers, self.deliveries.of = mine, readers
        states = {reader: found for one in ranks for reader, found in one["states"].items()}
        self.deliveries.states = {reader: states[reader] for reader in mine if reader in states}
        self.deliveries.served = state["served"] * len(ranks) // size
        self.given = self.begun = state["given"]
        self.rate.load_state_dict(state.get("rate", {}))  # which runs of before have not
        for one in ranks:
            fresh = SkipRate()
            fresh.load_state_dict(one.get("fresh", {}))
            self.rate.add(fresh.sources)
        if len(ranks) == size:
            self.skipped.load_state_dict(ranks[rank]["skipped"])
            self.tokens, self.room = Counter(ranks[rank]["tokens"]), ranks[rank]["room"]
