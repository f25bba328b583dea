"""Skipped samples, each once, by source and reason, and their share of all that was read.

Skips and samples are counted by the same readers, so what a worker has read ahead counts on both sides. A run stops where
the share is above the limit beyond doubt: few samples prove little, and broken samples in one shard of many prove little
about the others.
"""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from common.terminal import printable

log = logging.getLogger(__name__)

MIN_SAMPLES = 100  # that must have been read before their share proves anything
STANDARD_ERRORS = 4.0  # between the share and the limit; many, as it is tested again and again
SLACK = 0.1  # of an epoch: by how much some readers may be ahead of others


class TooManySkipped(ValueError):
    """More samples were skipped than the run allows."""


@dataclass(frozen=True)
class Skip:
    """Something that was skipped.

    Attributes:
        source: its name.
        reason: up to its first colon it is the kind by which skips are counted.
        what: a shard, or a shard and a key.
        samples: how many samples were lost with it; 0: none, it is a remark.
    """

    source: str
    reason: str
    what: str
    samples: int = 1


class SkipTally:
    """Skips of all readers of a rank. The same broken sample counts once, in however many epochs it is met.

    Attributes:
        delivered: samples that were not skipped, by source.
        counts: samples that were, by (source, kind of reason).
        examples: the first of each kind.
    """

    def __init__(self) -> None:
        self.delivered: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}
        self._known: set[tuple[str, str]] = set()

    def add(self, skips: Iterable[Skip]) -> None:
        """Counts new skips, and logs the first of each kind."""
        for skip in skips:
            if skip.samples and (skip.source, skip.what) in self._known:
                continue
            kind = (skip.source, skip.reason.partition(":")[0])
            if kind not in self.examples:
                self.examples[kind] = skip.what
                what = f"{skip.source}: {skip.reason} ({skip.what})"
                log.warning("%s%s", "skipped from " if skip.samples else "", printable(what))
            if skip.samples:
                self._known.add((skip.source, skip.what))
                self.counts[kind] += skip.samples

    @property
    def total(self) -> int:
        """Samples that were skipped."""
        return self.counts.total()

    def most_frequent(self) -> str:
        """The most frequent kind, for a message; empty where nothing was skipped."""
        if not self.counts:
            return ""
        (source, reason), count = self.counts.most_common(1)[0]
        return printable(f"from {source}: {reason} ({count})")

    def rows(self) -> list[dict[str, str | int]]:
        """One row for each kind: source, reason, samples, an example; the most frequent first."""
        return [
            {"source": source, "reason": reason, "samples": count, "example": self.examples[source, reason]}
            for (source, reason), count in self.counts.most_common()
        ]

    def state_dict(self) -> dict[str, Any]:
        """The whole tally, as plain values."""
        return {
            "delivered": dict(self.delivered),
            "counts": [[*kind, count, self.examples[kind]] for kind, count in self.counts.items()],
            "known": sorted(self._known),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues counting after `state`."""
        self.delivered = Counter(state["delivered"])
        self.counts = Counter({(source, reason): count for source, reason, count, _ in state["counts"]})
        self.examples = {(source, reason): example for source, reason, _, example in state["counts"]}
        self._known = {(source, what) for source, what in state["known"]}


@dataclass
class ShardCounts:
    """What was read of a shard: samples it has, that were read, that were skipped; the share of it that is lost."""

    size: int = 0
    samples: int = 0
    skipped: int = 0
    lost: float = 0.0


@dataclass
class ReadCounts:
    """What was read of a source.

    Attributes:
        num_shards: that it has.
        shards: by their numbers.
        truncated, lost_tokens: samples of which not all was used, and how much was not.
    """

    num_shards: int
    shards: defaultdict[int, ShardCounts] = field(default_factory=lambda: defaultdict(ShardCounts))
    truncated: int = 0
    lost_tokens: int = 0

    def add_truncated(self, tokens: int) -> None:
        """Counts a sample of which not all was used."""
        self.truncated += 1
        self.lost_tokens += tokens

    def add(self, more: "ReadCounts") -> None:
        """Adds what was read since, or elsewhere."""
        self.num_shards = more.num_shards
        self.truncated += more.truncated
        self.lost_tokens += more.lost_tokens
        for number, read in more.shards.items():
            counts = self.shards[number]
            if read.size or read.lost:  # it was opened, or could not be
                counts.size, counts.lost = max(counts.size, read.size), read.lost
            counts.samples += read.samples
            counts.skipped += read.skipped

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        shards = [[number, *astuple(counts)] for number, counts in self.shards.items()]
        return {**vars(self), "shards": shards}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "ReadCounts":
        """The counts whose `state_dict` is given."""
        shards = {number: ShardCounts(*counts) for number, *counts in state["shards"]}
        return cls(**{**state, "shards": defaultdict(ShardCounts, shards)})

    def totals(self) -> tuple[float, float, float]:
        """Samples that were read or would have been, those of them that were skipped, and the variance of these."""
        shards = self.shards.values()
        samples, skipped = sum(s.samples for s in shards), sum(s.skipped for s in shards)
        if not samples:
            return 0.0, 0.0, 0.0
        # a shard that is lost would have given as many samples as the others have
        lost = min(sum(s.lost for s in shards) / self.num_shards, 0.99)
        missing = samples * lost / (1 - lost)
        rate = skipped / samples
        variance = max(self._variance_if_scattered(samples, rate), self._variance_by_shard(rate))
        return samples + missing, skipped + missing, variance

    def _variance_if_scattered(self, samples: int, rate: float) -> float:
        """Variance where broken samples lie anywhere: of an epoch that is half read, as whole epochs have none."""
        sizes = [s.size for s in self.shards.values() if s.size]
        epoch = max(1.0, sum(sizes) / len(sizes) * self.num_shards)
        over = samples % epoch
        return rate * (1 - rate) * max(over * (1 - over / epoch), SLACK * min(samples, epoch))

    def _variance_by_shard(self, rate: float) -> float:
        """Variance where they lie in some shards and not in others: of the shards that were read so far."""
        read = [s for s in self.shards.values() if s.samples]
        if len(read) >= self.num_shards:
            return 0.0
        if len(read) < 2:
            return math.inf
        squares = sum((s.skipped - rate * s.samples) ** 2 for s in read)
        return squares * len(read) / (len(read) - 1) * (1 - len(read) / self.num_shards)


class SkipRate:
    """What all readers of a run have read, by source."""

    def __init__(self) -> None:
        self.sources: dict[str, ReadCounts] = {}

    def add(self, reads: Mapping[str, ReadCounts]) -> None:
        """Adds what was read since, or elsewhere."""
        for name, more in reads.items():
            self.sources.setdefault(name, ReadCounts(more.num_shards)).add(more)

    @property
    def fraction(self) -> float:
        """Share of the samples that was skipped."""
        samples, skipped, _ = self._totals()
        return skipped / samples if samples else 0.0

    @property
    def lower_bound(self) -> float:
        """What the share is at least, beyond doubt."""
        samples, skipped, variance = self._totals()
        if samples < MIN_SAMPLES:
            return 0.0
        return max(0.0, skipped - STANDARD_ERRORS * math.sqrt(variance)) / samples

    def check(self, limit: float, most_frequent: str = "") -> None:
        """Stops a run that loses more than `limit`, a share; `most_frequent` is a reason, for the message.

        Raises:
            TooManySkipped: it does.
        """
        if limit >= 1 or self.lower_bound <= limit:
            return
        samples, skipped, _ = self._totals()
        raise TooManySkipped(
            f"{skipped:.0f} of {samples:.0f} samples were skipped ({skipped / samples:.1%}, and surely more than "
            f"max_skipped_fraction {limit:.1%} allows){most_frequent and '; most often '}{most_frequent}. "
            "`python -m datamodules.doctor` on its shards names each one"
        )

    def _totals(self) -> tuple[float, float, float]:
        totals = [reads.totals() for reads in self.sources.values()] or [(0.0, 0.0, 0.0)]
        samples, skipped, variance = map(sum, zip(*totals, strict=True))
        return samples, skipped, variance

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        return {name: reads.state_dict() for name, reads in self.sources.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues counting after `state`."""
        self.sources = {name: ReadCounts.of_state(reads) for name, reads in state.items()}
