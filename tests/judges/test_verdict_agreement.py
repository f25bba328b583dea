"""Agreement of verdicts, and calibration."""

import pytest

from judges.verdict_agreement import balanced_accuracy, calibration


def test_balanced_accuracy_weighs_both_sides_equally():
    truth = [True] * 90 + [False] * 10
    assert balanced_accuracy([True] * 100, truth) == 0.5
    assert balanced_accuracy(truth, truth) == 1.0
    assert balanced_accuracy([not t for t in truth], truth) == 0.0
    assert balanced_accuracy([True, True], [True, True]) is None
    with pytest.raises(ValueError, match="1 verdicts for 2"):
        balanced_accuracy([True], [True, False])


def test_calibration_sorts_by_confidence():
    low, high = calibration([0.05, 0.1, 0.95, 1.0], [False, True, True, True], bins=2)
    assert low == (2, pytest.approx(0.075), 0.5) and high == (2, pytest.approx(0.975), 1.0)
    assert calibration([], []) == []
