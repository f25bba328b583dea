"""GenEval of an oracle is 1, and near 0 once its drawings are shuffled."""

import numpy as np
import pytest

from evals.playground.geneval import draw_and_judge, geneval_scores
from tests.evals.playground.oracle import Oracle
from worlds.playground.scene import CATEGORIES


def test_right_drawings_score_one() -> None:
    scores = geneval_scores(draw_and_judge(Oracle(), 8, 2))
    assert scores == {f"geneval/{name}": 1.0 for name in ("overall", *CATEGORIES)}


def test_drawings_of_other_prompts_score_near_zero() -> None:
    drawings = draw_and_judge(Oracle(shift=17), 8, 2)
    assert geneval_scores(drawings)["geneval/overall"] < 0.1
    assert all(d.reasons for d in drawings if not d.ok)


def test_the_overall_score_is_the_mean_of_the_categories() -> None:
    scores = geneval_scores(draw_and_judge(Oracle(shift=1), 8, 2))
    assert 0 < scores["geneval/overall"] < 1
    of_categories = [scores[f"geneval/{name}"] for name in CATEGORIES]
    assert scores["geneval/overall"] == pytest.approx(np.mean(of_categories))


def test_every_sample_has_a_seed_of_its_own() -> None:
    class Recorder(Oracle):
        seeds: list[int] = []

        def draw_batch(self, prompts: list[str], seeds: list[int], *rest: float):
            self.seeds += seeds
            return super().draw_batch(prompts, seeds)

    for seed in (0, 1):
        draw_and_judge(Recorder(seed), 8, 3, seed)
    assert len(set(Recorder.seeds)) == 2 * 6 * 8 * 3
