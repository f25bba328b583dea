"""Visual question answering on held-out scenes; answers are balanced within every kind of question."""

import numpy as np

from judges.pixels import render_scenes
from models.unified import Illume
from worlds.playground.questions import KINDS, evaluation_questions

BATCH = 100


def vqa_scores(model: Illume, samples: int = 800, seed: int = 0) -> dict[str, float]:
    """The accuracy of each kind of question, and the mean of the kinds."""
    questions = evaluation_questions(samples, seed)
    right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for start in range(0, len(questions), BATCH):
        batch = questions[start : start + BATCH]
        answers = model.ask_batch(render_scenes([scene for scene, _ in batch]), [q.text for _, q in batch])
        for answer, (_, question) in zip(answers, batch, strict=True):
            right[question.kind].append(answer == question.answer)
    scores = {f"vqa/{kind}": float(np.mean(values)) for kind, values in right.items() if values}
    return {"vqa/accuracy": float(np.mean(list(scores.values()))), **scores}
