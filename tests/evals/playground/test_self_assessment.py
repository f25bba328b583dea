"""The model's verdicts on its drawings: agreement with the judge, and gain of best-of-n."""

import numpy as np
import pytest
import torch

from evals.playground.geneval import judge_drawings
from evals.playground.self_assessment import assess_drawings, self_assessment_scores
from judges.assessment import Assessment
from judges.judge import Unjudged
from judges.pixels import render_scenes
from judges.self_judge import SelfAssessment
from models.unified import Illume
from worlds.playground.prompts import evaluation_prompts
from worlds.playground.sampler import scene_for

DRAWS = 2


def assessment(verdict, confidence):
    if verdict is None:
        return SelfAssessment(Unjudged("no assessment"), confidence)
    return SelfAssessment(Assessment(rationale="", verdicts={}, score=5, overall=verdict), confidence)


@pytest.fixture
def drawings():
    """Of each prompt a right drawing and a blank one, in alternating order."""
    prompts, rng = evaluation_prompts(2, 0), np.random.default_rng(0)
    asked = [prompt for prompt in prompts for _ in range(DRAWS)]
    images = render_scenes([scene_for(rng, prompt.spec) for prompt in asked])
    images[1::4] = 0
    images[2::4] = 0
    return judge_drawings(asked, images)


def test_right_verdicts_choose_the_right_drawings(drawings):
    assert [d.ok for d in drawings[:4]] == [True, False, False, True]
    knows = [assessment(d.ok, 0.9 if d.ok else 0.2) for d in drawings]
    assert self_assessment_scores(drawings, knows, DRAWS) == {
        "assessment/readable": 1.0,
        "assessment/balanced_accuracy": 1.0,
        "best_of/first": 0.5,
        "best_of/own": 1.0,
        "best_of/judge": 1.0,
    }


def test_wrong_or_missing_verdicts_gain_nothing(drawings):
    wrong = [assessment(not d.ok, 0.2 if d.ok else 0.9) for d in drawings]
    scores = self_assessment_scores(drawings, wrong, DRAWS)
    assert (scores["assessment/balanced_accuracy"], scores["best_of/own"]) == (0.0, 0.0)
    silent = self_assessment_scores(drawings, [assessment(None, 0.0)] * len(drawings), DRAWS)
    assert silent["assessment/readable"] == silent["assessment/balanced_accuracy"] == 0
    assert silent["best_of/own"] == silent["best_of/first"]


def test_assessments_are_read_from_text(drawings, tiny_illume, monkeypatch):
    said = {
        True: "a . object : yes . count : yes . colour : yes . relation : yes . score : 9 . overall : yes",
        False: "mumble",
    }
    each = iter(d.ok for d in drawings)
    monkeypatch.setattr(Illume, "assess_batch", lambda self, images, texts: [said[next(each)] for _ in texts])
    found = assess_drawings(tiny_illume, drawings)
    assert [o.verdict for o in found] == [True if d.ok else None for d in drawings]
    assert all(
        (0 < o.confidence < 1) if d.ok else o.confidence == 0 for o, d in zip(found, drawings, strict=True)
    )
    assert torch.is_grad_enabled()


def test_a_confidence_that_is_no_number_is_never_the_best(drawings):
    unsure = [assessment(d.ok, 0.9 if d.ok else float("nan")) for d in drawings]
    assert self_assessment_scores(drawings, unsure, DRAWS)["best_of/own"] == 1.0
