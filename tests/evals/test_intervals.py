"""The interval of a mean has its nominal coverage, with clustered values as well."""

import numpy as np
import pytest

from evals.intervals import clustered_mean, student_t


def test_without_clusters_it_is_the_usual_interval() -> None:
    values = [0.1, 0.4, 0.5, 0.6, 0.9]
    mean = clustered_mean(values, range(5), 0, 1)
    reach = 2.7764 * np.std(values, ddof=1) / 5**0.5  # Student's for 4 degrees, from a table
    assert mean.value == pytest.approx(0.5)
    assert (mean.low, mean.high) == pytest.approx((0.5 - reach, 0.5 + reach), rel=2e-3)


def test_repeated_values_do_not_narrow_it() -> None:
    values = [0.1, 0.4, 0.5, 0.6, 0.9]
    once, thrice = clustered_mean(values, range(5), 0, 1), clustered_mean(values * 3, [*range(5)] * 3, 0, 1)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert clustered_mean(values * 3, range(15), 0, 1).low > once.low


def test_it_is_cut_at_the_range_and_one_cluster_has_none() -> None:
    mean = clustered_mean([0.0, 0.0, 1.0], range(3), 0, 1)
    assert mean.low == 0 and mean.high == 1
    assert mean.to_report("m") == {"m": mean.value, "m/low": 0, "m/high": 1}
    assert clustered_mean([0.2, 0.4], "aa", 0, 1).to_report("m") == {"m": pytest.approx(0.3)}
    assert clustered_mean([1.0] * 5, range(5), 0, 1).to_report("m") == {"m": 1.0}


@pytest.mark.parametrize(
    ("freedom", "wanted"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423), (10**6, 1.96)],
)
def test_quantiles_of_students_distribution(freedom: int, wanted: float) -> None:
    assert student_t(freedom) == pytest.approx(wanted, rel=2e-3)


def test_coverage_is_95_of_100() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(800):
        sizes = rng.integers(1, 4, 40)  # sessions of one to three turns, which share most of what they get
        clusters = np.repeat(np.arange(40), sizes)
        values = 0.5 + 0.1 * rng.standard_normal(40)[clusters] + 0.05 * rng.standard_normal(len(clusters))
        mean = clustered_mean(values.tolist(), clusters.tolist(), -1, 1)
        held += mean.low <= 0.5 <= mean.high
    assert 0.925 < held / 800 < 0.975
