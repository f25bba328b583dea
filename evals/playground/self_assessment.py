"""The model's own verdicts on its drawings of held-out prompts: agreement with the judge, and gain of best-of-n."""

from collections.abc import Sequence

import numpy as np
import torch

from evals.playground.geneval import Drawing, geneval_scores
from judges.self_judge import SelfAssessment, SelfJudge
from judges.verdict_agreement import balanced_accuracy
from models.unified import Illume


def assess_drawings(model: Illume, drawings: Sequence[Drawing]) -> list[SelfAssessment]:
    """The model's assessment of each drawing against its prompt."""
    judge = SelfJudge()
    judge.set_model(model)
    images = torch.stack([drawing.image for drawing in drawings])
    return judge.assess_with_confidence([drawing.prompt.text for drawing in drawings], images)


def self_assessment_scores(
    drawings: Sequence[Drawing], assessments: Sequence[SelfAssessment], draws: int
) -> dict[str, float]:
    """Agreement with the judge, and GenEval of the best of `draws` drawings of each prompt, which are consecutive.

    `assessment/readable` is the share of drawings of which the model wrote an assessment; `assessment/balanced_accuracy`
    is over all, one without an assessment being wrong; `best_of/own` is GenEval of the drawings that the model is most
    confident of, beside `best_of/first` and the upper bound, `best_of/judge`.
    """
    truth = [drawing.ok for drawing in drawings]
    verdicts = [one.verdict for one in assessments]
    predicted = [not ok if verdict is None else verdict for verdict, ok in zip(verdicts, truth, strict=True)]
    scores = {"assessment/readable": float(np.mean([verdict is not None for verdict in verdicts]))}
    accuracy = balanced_accuracy(predicted, truth)
    if accuracy is not None:
        scores["assessment/balanced_accuracy"] = accuracy
    confidences = np.nan_to_num([one.confidence for one in assessments])
    for name, ranking in (
        ("first", np.zeros(len(drawings))),
        ("own", confidences),
        ("judge", np.array(truth)),
    ):
        best = [
            drawings[start + int(np.argmax(ranking[start : start + draws]))]
            for start in range(0, len(drawings), draws)
        ]
        scores[f"best_of/{name}"] = geneval_scores(best)["geneval/overall"]
    return scores
