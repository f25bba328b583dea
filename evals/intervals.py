"""A mean over prompts and its 95% interval, where some prompts belong together and so tell less than as many others."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

Z = 1.959964  # of a normal distribution, 95% lie within so many deviations


@dataclass(frozen=True)
class Mean:
    """A mean and its interval, which one group alone has not, nor have values that are all the same."""

    value: float
    low: float | None
    high: float | None

    def reported(self, name: str) -> dict[str, float]:
        """It in a report: `name`, `name/low` and `name/high`."""
        limits = {f"{name}/low": self.low, f"{name}/high": self.high}
        return {name: self.value} | {key: limit for key, limit in limits.items() if limit is not None}


def mean_of(values: Sequence[float], groups: Sequence[Hashable], least: float, most: float) -> Mean:
    """The mean of some values.

    The deviation is that of a mean of clusters (Liang and Zeger 1986), the usual one where each is a group of its own;
    the limits are Student's with the groups' degrees of freedom, cut at what a value can be.

    Args:
        values: one a prompt.
        groups: which of them belong together (edits of one image, turns of one session).
        least: the least that a value can be.
        most: the most.
    """
    value = fmean(values)
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for one, group in zip(values, groups, strict=True):
        sums[group] += one - value
    count = len(sums)
    if count < 2:
        return Mean(value, None, None)
    deviation = sqrt(count / (count - 1) * sum(total**2 for total in sums.values())) / len(values)
    if deviation == 0:
        return Mean(value, None, None)  # an interval of no width would be sure of what was never seen to vary
    reach = student(count - 1) * deviation
    return Mean(value, max(value - reach, least), min(value + reach, most))


def student(freedom: int) -> float:
    """How many deviations hold 95% of Student's distribution: exact for 1 and 2, then Hill's series (1970)."""
    if freedom < 3:
        return (12.706205, 4.302653)[freedom - 1]
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))
