"""VQA of an oracle is 1, and 0 once its answers are shuffled."""

from evals.playground.vqa import vqa_scores
from tests.evals.playground.oracle import Oracle
from worlds.playground.questions import KINDS


def test_right_answers_score_one_and_those_of_other_questions_zero() -> None:
    assert vqa_scores(Oracle(), 64) == {f"vqa/{name}": 1.0 for name in ("accuracy", *KINDS)}
    assert vqa_scores(Oracle(shift=4), 64)["vqa/accuracy"] == 0.0  # answers of a kind come in turn
