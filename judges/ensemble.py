"""Several judges as one: each dimension by majority, the score by their mean."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from torch import Tensor

from judges.assessment import Assessment, Verdict
from judges.judge import Judge, Unjudged
from models.unified import Illume


class EnsembleJudge(Judge):
    """Asks every judge; an image that most of them have no opinion of is unjudged. A tie counts as wrong.

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

    def set_model(self, model: Illume) -> None:
        """Tells all of them."""
        for judge in self.judges:
            judge.set_model(model)

    def check(self) -> None:
        """Asks all of them."""
        for judge in self.judges:
            judge.check()

    def set_cache(self, folder: Path) -> None:
        """Tells all of them."""
        for judge in self.judges:
            judge.set_cache(folder)

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """The common opinions."""
        said = [judge.assess(prompts, images) for judge in self.judges]
        return [self._together(opinions) for opinions in zip(*said, strict=True)]

    def _together(self, opinions: Sequence[Assessment | Unjudged]) -> Assessment | Unjudged:
        given = [one for one in opinions if isinstance(one, Assessment)]
        if 2 * len(given) <= len(opinions):
            reasons = [one.reason for one in opinions if isinstance(one, Unjudged)]
            return Unjudged(f"most judges have no opinion: {reasons[0]}")
        names = [dimension.name for dimension in self.dimensions]
        overall = _most([one.overall for one in given])
        side = next((one for one in given if one.overall == overall), given[0])
        return Assessment(
            rationale=side.rationale,
            verdicts={name: _common([one.verdicts[name] for one in given]) for name in names},
            score=round(mean(one.score for one in given)),
            overall=overall,
        )


def _most(votes: Sequence[bool]) -> bool:
    return 2 * sum(votes) > len(votes)


def _common(verdicts: Sequence[Verdict]) -> Verdict:
    ok = _most([verdict.ok for verdict in verdicts])
    return next((verdict for verdict in verdicts if verdict.ok == ok), Verdict(ok=ok, reason=""))
