"""Gains are paired by seed, with intervals that grow with their spread; what an arm has not is left out."""

import math

import pytest

from experiments.paired_statistics import gains, paired_gain, summary, table

RUNS = {
    "baseline": {0: {"a/x": 0.5, "b/y": 1.0}, 1: {"a/x": 0.6, "b/y": 1.0}, 2: {"a/x": 0.7, "b/y": 1.0}},
    "more": {0: {"a/x": 0.6, "b/y": 0.9}, 1: {"a/x": 0.7}, 2: {"a/x": 0.83}},
}


def test_differences_are_taken_seed_by_seed():
    gain = paired_gain({2: 0.83, 0: 0.6, 1: 0.7}, {0: 0.5, 1: 0.6, 2: 0.7})
    assert gain.each == pytest.approx([0.1, 0.1, 0.13]) and gain.mean == pytest.approx(0.11)
    # the t interval by hand: 4.303 times 0.01732 over the root of three
    assert gain.half == pytest.approx(4.303 * 0.0173205 / 3**0.5, rel=1e-4)
    assert paired_gain({0: 0.2}, {0: 0.1}).half is None


def test_seeds_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="same"):
        paired_gain({0: 1.0}, {1: 1.0})


def test_what_a_run_lacks_is_left_out():
    assert set(summary(RUNS)["more"]) == {"a/x"}
    assert summary(RUNS)["baseline"]["a/x"] == {"mean": pytest.approx(0.6), "spread": pytest.approx(0.1)}
    assert set(gains(RUNS, [("more", "baseline")])["more over baseline"]) == {"a/x"}


def test_the_table():
    lines = table(RUNS, [("more", "baseline")], {"a/x": "X", "b/y": "Y", "c/z": "Z"}).splitlines()
    assert lines[0] == "|  | X | Y |"
    assert lines[2:] == [
        "| baseline | 0.600 | 1.000 |",
        "| more | 0.710 |  |",
        "| more over baseline | +0.110 ± 0.043 |  |",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_run_without_a_finite_figure_is_shown_and_wins_nothing(value):
    runs = {"a": {0: {"x": value}, 1: {"x": 1.0}}, "b": {0: {"x": 0.0}, 1: {"x": 0.0}}}
    gain = gains(runs, [("a", "b")])["a over b"]["x"]
    assert not math.isfinite(gain.mean) and math.isnan(gain.half)
    assert math.isnan(summary(runs)["a"]["x"]["spread"])
    assert "± nan" in table(runs, [("a", "b")], {"x": "x"})
