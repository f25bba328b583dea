"""A weighted mixture of sources, resumable at every item: its whole state is a few integers."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datamodules.skips import ReadCounts, Skip
from datamodules.source_stream import Address, Item, Source, SourceStream


class MixedStream:
    """Draws items from weighted sources for ever; arguments as of `SourceStream`.

    Attributes:
        drawn: items so far.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        seed: int,
        shard_id: int = 0,
        num_shards: int = 1,
        max_skipped_fraction: float = 1.0,
    ) -> None:
        self.seed, self.shard_id, self.drawn = seed, shard_id, 0
        self.streams = {
            name: SourceStream(name, source, seed, shard_id, num_shards, max_skipped_fraction)
            for name, source in sources.items()
        }

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        weights = [stream.source.weight for stream in self.streams.values()]
        rng = random.Random(f"{self.seed}|mixture|{self.shard_id}|{self.drawn}")
        self.drawn += 1
        return next(rng.choices(list(self.streams.values()), weights)[0])

    def reread(self, addresses: Sequence[Address]) -> list[Item]:
        """Items again, by their addresses; raises ValueError if one cannot be read any more."""
        items = [self.streams[address.source].reread(address) for address in addresses]
        for stream in self.streams.values():
            stream.close_finished()
        return items

    def take_counts(self) -> tuple[list[Skip], dict[str, ReadCounts]]:
        """What was skipped, and all that was read by source, since the last time."""
        taken = {name: stream.take_counts() for name, stream in self.streams.items()}
        skips = [skip for skipped, _ in taken.values() for skip in skipped]
        return skips, {name: reads for name, (_, reads) in taken.items() if reads.shards}

    def state_dict(self) -> dict[str, Any]:
        """The position of each source."""
        sources = {name: stream.state_dict() for name, stream in self.streams.items()}
        return {"drawn": self.drawn, "sources": sources}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state` was taken; sources that have come since begin at their beginning.

        Raises:
            ValueError: a source is gone, or no longer what it was.
        """
        if gone := set(state["sources"]) - set(self.streams):
            raise ValueError(
                f"this run has read from {', '.join(sorted(gone))}, which is no longer among its sources: start another"
            )
        for name, source_state in state["sources"].items():
            self.streams[name].load_state_dict(source_state)
        self.drawn = state["drawn"]
