"""Several judges as one: each dimension by majority, the score by their mean."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from torch import Tensor

from judges.assessment import Assessment, Verdict
from judges.judge import Judge, Opinion, Unjudged

if TYPE_CHECKING:
    from models.unified import Illume


class EnsembleJudge(Judge):
    """Asks every judge; an image of which most have no opinion is unjudged. A tie counts as wrong.

    Args:
        judges: of the same dimensions.

    Raises:
        ValueError: there are none, or their dimensions differ.
    """

    def __init__(self, judges: list[Judge]) -> None:
        if not judges or any(judge.dimensions != judges[0].dimensions for judge in judges):
            raise ValueError("an ensemble needs at least one judge, and judges of the same dimensions")
        super().__init__(judges[0].dimensions)
        self.judges = judges
        self.name = f"ensemble({', '.join(judge.name for judge in judges)})"

    def set_model(self, model: "Illume") -> None:
        """Sets the model of each judge."""
        for judge in self.judges:
            judge.set_model(model)

    def check(self) -> None:
        """Checks each judge."""
        for judge in self.judges:
            judge.check()

    def set_cache(self, folder: Path) -> None:
        """Sets the cache of each judge."""
        for judge in self.judges:
            judge.set_cache(folder)

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Opinion]:
        """The majority's opinions."""
        by_judge = [judge.assess(prompts, images) for judge in self.judges]
        return [self._combine(opinions) for opinions in zip(*by_judge, strict=True)]

    def _combine(self, opinions: Sequence[Opinion]) -> Opinion:
        given = [one for one in opinions if isinstance(one, Assessment)]
        if 2 * len(given) <= len(opinions):
            reasons = [one.reason for one in opinions if isinstance(one, Unjudged)]
            return Unjudged(f"most judges have no opinion: {reasons[0]}")
        overall = _majority([one.overall for one in given])
        verdicts = {}
        for dimension in self.dimensions:
            votes = [one.verdicts[dimension.name] for one in given]
            ok = _majority([vote.ok for vote in votes])
            verdicts[dimension.name] = next((v for v in votes if v.ok == ok), Verdict(ok=ok, reason=""))
        return Assessment(
            rationale=next((one for one in given if one.overall == overall), given[0]).rationale,
            verdicts=verdicts,
            score=round(mean(one.score for one in given)),
            overall=overall,
        )


def _majority(votes: Sequence[bool]) -> bool:
    return 2 * sum(votes) > len(votes)
