"""Several judges as one."""

import pytest
import torch

from judges.assessment import DIMENSIONS, Assessment, Dimension, Verdict
from judges.ensemble import EnsembleJudge
from judges.judge import Judge, Unjudged
from judges.self_judge import SelfJudge


class Fixed(Judge):
    def __init__(self, *verdicts):
        super().__init__()
        self.verdicts, self.name = verdicts, f"fixed{verdicts}"

    def assess(self, prompts, images):
        return [Unjudged("no idea") if ok is None else opinion(ok) for ok in self.verdicts]


def opinion(ok):
    verdicts = {d.name: Verdict(ok=ok, reason="" if ok else "wrong") for d in DIMENSIONS}
    return Assessment(rationale=f"seen {ok}", verdicts=verdicts, score=10 * ok, overall=ok)


def test_an_ensemble_decides_by_majority():
    judges = [Fixed(True, True, None, True), Fixed(True, False, None, False), Fixed(False, False, True, None)]
    first, second, third, tie = EnsembleJudge(judges).assess(
        ["x"] * 4, torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    )
    assert first.overall and first.score == 7 and first.rationale == "seen True"
    assert not second.overall and second.verdicts["count"] == Verdict(ok=False, reason="wrong")
    assert isinstance(third, Unjudged) and not tie.overall
    with pytest.raises(ValueError, match="same dimensions"):
        EnsembleJudge([Fixed(True), SelfJudge([Dimension(name="style", question="?")])])
