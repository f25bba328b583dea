"""What was skipped, and why: each broken thing once, by source and reason. Nothing is replaced in silence."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

log = logging.getLogger(__name__)


class TooManySkipped(ValueError):
    """More samples were skipped than the run allows."""


@dataclass(frozen=True)
class Skip:
    """One thing that was skipped: `what` names it (a shard, or a shard and a key), `samples` is how many went with it.

    A reason's words up to its first colon are its kind; what follows is of this one alone.
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
            if (skip.source, skip.what) in self._known:
                continue
            self._known.add((skip.source, skip.what))
            kind = (skip.source, skip.reason.partition(":")[0])
            if kind not in self.examples:
                self.examples[kind] = skip.what
                log.warning("skipped from %s: %s (%s)", skip.source, skip.reason, skip.what)
            self.counts[kind] += skip.samples

    @property
    def total(self) -> int:
        """Samples that were skipped."""
        return sum(self.counts.values())

    @property
    def fraction(self) -> float:
        """Share of the samples asked for that were skipped."""
        asked = self.total + sum(self.given.values())
        return self.total / asked if asked else 0.0

    def check(self, limit: float, least: int = 100) -> None:
        """Stops a run that loses too much.

        Args:
            limit: the largest share that may be skipped.
            least: so many samples must have been asked for, before a share says anything.

        Raises:
            TooManySkipped: it was more.
        """
        asked = self.total + sum(self.given.values())
        if asked >= least and self.fraction > limit:
            (source, reason), count = self.counts.most_common(1)[0]
            raise TooManySkipped(
                f"{self.total} of {asked} samples were skipped ({self.fraction:.1%}), more than max_skipped_fraction "
                f"{limit:.1%} allows; most often from {source}: {reason} ({count}). "
                "`python -m datamodules.doctor` on its shards names each one"
            )

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
