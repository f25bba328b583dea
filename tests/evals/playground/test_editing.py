"""Scores of edits by an oracle, and by a model that returns its input."""

from evals.playground.editing import edit_and_judge, editing_scores
from tests.evals.playground.oracle import Oracle


def test_an_edit_that_does_all_is_right() -> None:
    scores = editing_scores(edit_and_judge(Oracle(), 40))
    assert {scores[f"editing/{name}"] for name in ("accuracy", "changed", "kept")} == {1.0}


def test_an_edit_that_does_nothing_keeps_all_and_changes_nothing() -> None:
    scores = editing_scores(edit_and_judge(Oracle(shift=1), 40))
    assert (scores["editing/accuracy"], scores["editing/changed"], scores["editing/kept"]) == (0.0, 0.0, 1.0)
