"""The model's own verdicts on its drawings of held-out prompts: do they agree with the judge; what choosing gains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from evals.playground.geneval import Drawing, geneval_scores
from judges.assessment import Assessment
from judges.judge import Unjudged
from judges.self_judge import SelfJudge
from judges.verdict_agreement import balanced_accuracy
from models.unified import Illume


@dataclass(frozen=True)
class OwnOpinion:
    """The model's verdict on one of its drawings (None: it wrote no assessment), and how sure it is of yes."""

    verdict: bool | None
    confidence: float


def assess_drawings(model: Illume, drawings: Sequence[Drawing]) -> list[OwnOpinion]:
    """Has the model assess each drawing against its prompt."""
    judge = SelfJudge()
    judge.set_model(model)
    images = torch.stack([drawing.image for drawing in drawings])
    found = judge.assess_with_confidence([drawing.prompt.text for drawing in drawings], images)
    return [OwnOpinion(_verdict(opinion), confidence) for opinion, confidence in found]


def _verdict(opinion: Assessment | Unjudged) -> bool | None:
    return opinion.overall if isinstance(opinion, Assessment) else None


def own_assessment_scores(
    drawings: Sequence[Drawing], opinions: Sequence[OwnOpinion], draws: int
) -> dict[str, float]:
    """Agreement with the judge, and GenEval of the drawing that the model is surest of.

    Args:
        drawings: `draws` of each prompt, one prompt after another.
        opinions: of each drawing.
        draws: of a prompt.

    Returns:
        `assessment/readable`, the share of drawings of which the model wrote an assessment;
        `assessment/balanced_accuracy` over all, where there are right and wrong ones: one without an assessment counts as
        called wrongly; `best_of/own`, GenEval of the surest of each prompt's drawings; `best_of/first`, of the first;
        `best_of/judge`, the ceiling: of the best one.
    """
    truth = [drawing.ok for drawing in drawings]
    said = [not ok if o.verdict is None else o.verdict for o, ok in zip(opinions, truth, strict=True)]
    scores = {"assessment/readable": float(np.mean([o.verdict is not None for o in opinions]))}
    agreed = balanced_accuracy(said, truth)
    if agreed is not None:
        scores["assessment/balanced_accuracy"] = agreed
    starts = range(0, len(drawings), draws)
    choices = {
        "first": list(starts),
        "own": [
            start + int(np.argmax(np.nan_to_num([o.confidence for o in opinions[start : start + draws]])))
            for start in starts
        ],
        "judge": [
            start + int(np.argmax([d.ok for d in drawings[start : start + draws]])) for start in starts
        ],
    }
    for name, chosen in choices.items():
        scores[f"best_of/{name}"] = geneval_scores([drawings[i] for i in chosen])["geneval/overall"]
    return scores
