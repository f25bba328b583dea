"""Who knows the truth scores 1 in everything; who shuffles it scores next to nothing."""

import numpy as np
import pytest

from evals.playground.editing import edit_and_judge, editing_scores
from evals.playground.geneval import draw_and_judge, geneval_scores
from evals.playground.vqa import vqa_scores
from tests.evals.playground.oracle import Oracle
from worlds.playground.questions import KINDS
from worlds.playground.scene import CATEGORIES


def test_geneval_of_the_truth_is_one() -> None:
    scores = geneval_scores(draw_and_judge(Oracle(), 8, 2))
    assert scores == {f"geneval/{name}": 1.0 for name in ("overall", *CATEGORIES)}


def test_geneval_of_shuffled_truth_is_near_zero() -> None:
    drawings = draw_and_judge(Oracle(shift=17), 8, 2)
    assert geneval_scores(drawings)["geneval/overall"] < 0.1
    assert all(d.reasons for d in drawings if not d.ok)


def test_geneval_is_the_mean_of_the_categories() -> None:
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


def test_vqa_of_the_truth_is_one_and_of_the_next_answer_is_not() -> None:
    assert vqa_scores(Oracle(), 64) == {f"vqa/{name}": 1.0 for name in ("accuracy", *KINDS)}
    assert vqa_scores(Oracle(shift=4), 64)["vqa/accuracy"] == 0.0  # answers of a kind come in turn


def test_an_edit_that_does_all_is_right() -> None:
    scores = editing_scores(edit_and_judge(Oracle(), 40))
    assert {scores[f"editing/{name}"] for name in ("accuracy", "changed", "kept")} == {1.0}


def test_an_edit_that_does_nothing_keeps_all_and_changes_nothing() -> None:
    scores = editing_scores(edit_and_judge(Oracle(shift=1), 40))
    assert (scores["editing/accuracy"], scores["editing/changed"], scores["editing/kept"]) == (0.0, 0.0, 1.0)
