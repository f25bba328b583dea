"""Plots of a sweep: axes, and what their SVG holds."""

from math import inf, nan

import pytest

from experiments.sweep.plots import (
    BAD,
    BEST,
    GOOD,
    Axis,
    Trace,
    history,
    importance,
    parallel,
    spread,
    training,
)
from tests.evals.page import Page

TRACES = [
    Trace(0, [(0, 3.0), (5, 2.0)], GOOD),
    Trace(1, [(0, 4.0)], BAD),
    Trace(2, [(0, 2.0), (9, 1.0)], BEST),
]


def test_axes_are_linear_logarithmic_or_of_choices():
    assert [Axis(0, 10).at(value) for value in (-5, 0, 5, 20)] == [0, 0, 0.5, 1]
    assert Axis(1e-4, 1e-2, log=True).at(1e-3) == pytest.approx(0.5)
    assert Axis(0, 0, choices=("a", "b", "c")).at("c") == 1 and Axis(3, 3).at(3) == 0.5
    assert spread([1.0, nan, 3.0, inf]) == Axis(0.84, 3.16)


def test_every_trial_is_named_in_its_plots():
    points = [
        Trace(number, [(number, value)], colour) for number, value, colour in ((0, 3, GOOD), (1, 9, BAD))
    ]
    page = Page(f"<p>{history('val/<loss>', points, maximize=False)}</p>")
    assert "trial 0: 3" in page.text and "trial 1: 9" in page.text and "val/<loss>" in page.text
    assert "trial 2" in Page(f"<p>{training('loss', TRACES)}</p>").text


def test_shares_and_settings_are_labelled():
    assert "0.70" in importance("What decided it", {"lr": 0.7, "rate": 0.3})
    axes = {"lr": Axis(0.001, 0.1, log=True), "kind": Axis(0, 0, choices=("adam", "muon"))}
    text = Page(f"<p>{parallel('Trials', axes, [([0.01, 'muon'], BEST)])}</p>").text
    assert all(label in text for label in ("lr", "0.001", "0.1", "adam", "muon"))
