"""The share of what was read that was skipped: good and bad from the same readers, over all ranks, with an interval.

What has been read ahead counts with the samples that were read beside it, and not against those that have arrived. A run
stops where more than the limit is skipped beyond doubt: few samples say little, and broken samples that stand in one
shard of many say little of the others.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datamodules.skipped import TooManySkipped

LEAST = 100  # samples that must have been read before their share says anything
CERTAIN = 4.0  # standard errors between what was skipped and the limit; it is looked at again and again
SLACK = 0.1  # of a turn: by how much some readers may be ahead of others


@dataclass
class ShardReads:
    """What was read of a shard: how many samples it has, were read, were skipped; the share of it that is lost."""

    size: int = 0
    samples: int = 0
    skipped: int = 0
    lost: float = 0.0


@dataclass
class Reads:
    """What was read of a source.

    Attributes:
        count: shards that it has.
        shards: by their numbers.
        cut, cut_tokens: samples of which not all was used, and how much was not.
    """

    count: int
    shards: defaultdict[int, ShardReads] = field(default_factory=lambda: defaultdict(ShardReads))
    cut: int = 0
    cut_tokens: int = 0

    def add_cut(self, tokens: int) -> None:
        """Counts a sample of which not all was used."""
        self.cut += 1
        self.cut_tokens += tokens

    def add(self, more: "Reads") -> None:
        """Adds what was read since, or elsewhere."""
        self.count = more.count
        self.cut += more.cut
        self.cut_tokens += more.cut_tokens
        for number, read in more.shards.items():
            known = self.shards[number]
            if read.size or read.lost:  # it was opened, or could not be
                known.size, known.lost = max(known.size, read.size), read.lost
            known.samples += read.samples
            known.skipped += read.skipped

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        shards = [[n, r.size, r.samples, r.skipped, r.lost] for n, r in self.shards.items()]
        return {"count": self.count, "shards": shards, "cut": self.cut, "cut_tokens": self.cut_tokens}

    @staticmethod
    def of(state: Mapping[str, Any]) -> "Reads":
        """What `state_dict` gave."""
        reads = Reads(state["count"], cut=state["cut"], cut_tokens=state["cut_tokens"])
        for number, *read in state["shards"]:
            reads.shards[number] = ShardReads(*read)
        return reads

    def totals(self) -> tuple[float, float, float]:
        """Samples that were read or would have been, those of them that were skipped, and the variance of these."""
        shards = self.shards.values()
        samples, skipped = sum(s.samples for s in shards), sum(s.skipped for s in shards)
        if not samples:
            return 0.0, 0.0, 0.0
        # a shard that is lost would have given as many samples as the others have
        lost = min(sum(s.lost for s in shards) / self.count, 0.99)
        missing = samples * lost / (1 - lost)
        rate = skipped / samples
        return (
            samples + missing,
            skipped + missing,
            max(self._scattered(samples, rate), self._in_shards(rate)),
        )

    def _scattered(self, samples: int, rate: float) -> float:
        """Variance where broken samples lie anywhere: that of a turn that is half read, as whole turns have none."""
        sizes = [s.size for s in self.shards.values() if s.size]
        turn = max(1.0, sum(sizes) / len(sizes) * self.count)
        over = samples % turn
        return rate * (1 - rate) * max(over * (1 - over / turn), SLACK * min(samples, turn))

    def _in_shards(self, rate: float) -> float:
        """Variance where they lie in some shards and not in others: that of the shards which were read yet."""
        read = [s for s in self.shards.values() if s.samples]
        if len(read) >= self.count:
            return 0.0
        if len(read) < 2:
            return math.inf
        squares = sum((s.skipped - rate * s.samples) ** 2 for s in read)
        return squares * len(read) / (len(read) - 1) * (1 - len(read) / self.count)


class SkipRate:
    """What all readers of a run have read, by source."""

    def __init__(self) -> None:
        self.sources: dict[str, Reads] = {}

    def add(self, reads: Mapping[str, Reads]) -> None:
        """Adds what was read since, or elsewhere."""
        for name, more in reads.items():
            self.sources.setdefault(name, Reads(more.count)).add(more)

    @property
    def fraction(self) -> float:
        """Share of the samples that was skipped."""
        samples, skipped, _ = self._totals()
        return skipped / samples if samples else 0.0

    @property
    def least(self) -> float:
        """What the share is at least, beyond doubt."""
        samples, skipped, variance = self._totals()
        return max(0.0, skipped - CERTAIN * math.sqrt(variance)) / samples if samples >= LEAST else 0.0

    def check(self, limit: float, most: str = "") -> None:
        """Stops a run that loses too much.

        Args:
            limit: the largest share that may be skipped.
            most: the most frequent reason, for the message.

        Raises:
            TooManySkipped: it was more.
        """
        if limit >= 1 or self.least <= limit:
            return
        samples, skipped, _ = self._totals()
        raise TooManySkipped(
            f"{skipped:.0f} of {samples:.0f} samples were skipped ({skipped / samples:.1%}, and surely more than "
            f"max_skipped_fraction {limit:.1%} allows){most and '; most often '}{most}. "
            "`python -m datamodules.doctor` on its shards names each one"
        )

    def _totals(self) -> tuple[float, ...]:
        return (
            tuple(map(sum, zip(*(reads.totals() for reads in self.sources.values()), strict=True)))
            or (0.0,) * 3
        )

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        return {name: reads.state_dict() for name, reads in self.sources.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on counting after `state`."""
        self.sources = {name: Reads.of(reads) for name, reads in state.items()}
