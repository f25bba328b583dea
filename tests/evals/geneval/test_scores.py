"""The summary is the official one, and its intervals hold what they promise."""

import numpy as np
import pytest

from evals.geneval.scores import effective_number, proportion, summary, wilson


def test_shares_by_tag_and_their_mean() -> None:
    verdicts = {
        "counting": [[True, True], [False, False], [True, False]],
        "colors": [[True, True]],
    }
    said = summary(verdicts)
    assert said["geneval/counting"] == 0.5 and said["geneval/colors"] == 1
    assert said["geneval/overall"] == 0.75  # of the tasks, not of the images: that is 5 of 8
    assert said["geneval/images_right"] == 0.625 and said["geneval/prompts_right_once"] == 0.75
    assert "geneval/position" not in said
    for name in ("geneval/overall", "geneval/counting", "geneval/colors"):
        assert 0 <= said[f"{name}/low"] <= said[name] <= said[f"{name}/high"] <= 1
    assert said["geneval/colors/low"] < 1  # all right is not surely right


def test_images_of_a_prompt_that_go_together_count_once() -> None:
    together = [[True] * 4] * 10 + [[False] * 4] * 10
    apart = [[True, True, False, False]] * 20
    assert effective_number(together) == 20 and effective_number(apart) == 80
    assert effective_number([[True] * 4] * 20) == 20 and effective_number([[True]]) == 1
    assert (
        proportion(together).low
        < proportion(apart).low
        < 0.5
        < proportion(apart).high
        < proportion(together).high
    )


def test_wilson_at_a_known_place() -> None:
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = wilson(0, 20)
    assert low == 0 and high == pytest.approx(0.1611, abs=1e-4)


@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_an_interval_covers_the_truth_about_95_times_in_100(spread: float) -> None:
    """Prompts are hard or easy by a beta distribution: with a small spread number all or nothing, else alike."""
    rng, truth, hits = np.random.default_rng(0), 0.7, 0
    for _ in range(400):
        chances = rng.beta(truth * spread, (1 - truth) * spread, 80)
        one = proportion([(rng.random(4) < chance).tolist() for chance in chances])
        hits += one.low <= truth <= one.high
    assert 0.92 <= hits / 400 <= 0.985
