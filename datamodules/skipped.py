"""What was skipped, and why: each broken thing once, by source and reason. Nothing is replaced in silence."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from common.terminal import printable

log = logging.getLogger(__name__)


class TooManySkipped(ValueError):
    """More samples were skipped than the run allows."""


@dataclass(frozen=True)
class Skip:
    """One thing that was skipped: `what` names it (a shard, or a shard and a key), `samples` is how many went with it.

    A reason's words up to its first colon are its kind; what follows is of this one alone. Of no samples it is a remark.
    """

    source: str
    reason: str
    what: str
    samples: int = 1


class Skipped:
    """A tally over all readers of a run. The same broken sample counts once, however often its turn comes.

    Attributes:
        given: samples that arrived, by source.
        counts: samples that did not, by (source, reason).
        examples: the first of each.
    """

    def __init__(self) -> None:
        self.given: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}
        self._known: set[tuple[str, str]] = set()

    def add(self, skips: Iterable[Skip]) -> None:
        """Counts what is new, and says the first of each kind."""
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
        return sum(self.counts.values())

    def most(self) -> str:
        """The most frequent kind, as words; empty where nothing was skipped."""
        if not self.total:
            return ""
        (source, reason), count = self.counts.most_common(1)[0]
        return printable(f"from {source}: {reason} ({count})")

    def rows(self) -> list[dict[str, str | int]]:
        """One row for each kind: source, reason, samples, an example; the most frequent first."""
        return [
            {"source": source, "reason": reason, "samples": count, "example": self.examples[source, reason]}
            for (source, reason), count in self.counts.most_common()
        ]

    def state_dict(self) -> dict:
        """The whole tally."""
        return {
            "given": dict(self.given),
            "counts": [[*kind, count, self.examples[kind]] for kind, count in self.counts.items()],
            "known": sorted(self._known),
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on counting after `state`."""
        self.given = Counter(state["given"])
        self.counts = Counter({(source, reason): count for source, reason, count, _ in state["counts"]})
        self.examples = {(source, reason): example for source, reason, _, example in state["counts"]}
        self._known = {(source, what) for source, what in state["known"]}
