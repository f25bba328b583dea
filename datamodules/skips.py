"""Skipped samples, each once, by source and reason: nothing is replaced silently."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from common.terminal import printable

log = logging.getLogger(__name__)


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
