"""How far a model's own verdicts agree with a judge's: balanced accuracy, and what its confidence is worth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Bin(NamedTuple):
    """Drawings of about one confidence: their number, the mean confidence, and the share that the judge finds good."""

    drawings: int
    confidence: float
    good: float


def balanced_accuracy(predicted: Sequence[bool], truth: Sequence[bool]) -> float | None:
    """Mean of the shares of good and of bad ones that were called so; None where one of the two does not occur."""
    called, right = np.asarray(predicted, bool), np.asarray(truth, bool)
    if len(called) != len(right):
        raise ValueError(f"{len(called)} verdicts for {len(right)} drawings")
    if not len(right) or right.all() or not right.any():
        return None
    return float((called[right].mean() + (~called[~right]).mean()) / 2)


def calibration(confidence: Sequence[float], truth: Sequence[bool], bins: int = 5) -> list[Bin]:
    """Equal steps of confidence from 0 to 1, those that hold any drawing."""
    sure, right = np.asarray(confidence, float), np.asarray(truth, bool)
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return [
        Bin(int((which == b).sum()), float(sure[which == b].mean()), float(right[which == b].mean()))
        for b in range(bins)
        if (which == b).any()
    ]
