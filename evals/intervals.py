"""A mean over prompts and its 95% interval, where some prompts form clusters."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

Z = 1.959964  # of a normal distribution, 95% lie within so many deviations


@dataclass(frozen=True)
class Mean:
    """A mean and its interval, which a single cluster does not have, nor values that are all the same."""

    value: float
    low: float | None
    high: float | None

    def to_report(self, name: str) -> dict[str, float]:
        """Its entries in a report: `name`, `name/low` and `name/high`."""
        limits = {f"{name}/low": self.low, f"{name}/high": self.high}
        return {name: self.value} | {key: limit for key, limit in limits.items() if limit is not None}


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], low: float, high: float) -> Mean:
    """The mean of values and its interval.

    The deviation is that of a mean of clusters (Liang and Zeger 1986), the usual one where each value is a cluster of its
    own; the limits are Student's with the clusters' degrees of freedom, cut at the range of a value, `low` to `high`.
    `clusters` says of each value what it has in common with others (edits of one image, turns of one session).
    """
    value = fmean(values)
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for one, cluster in zip(values, clusters, strict=True):
        sums[cluster] += one - value
    count = len(sums)
    if count < 2:
        return Mean(value, None, None)
    deviation = sqrt(count / (count - 1) * sum(total**2 for total in sums.values())) / len(values)
    if deviation == 0:
        return Mean(value, None, None)  # an interval of width 0 would claim certainty
    reach = student_t(count - 1) * deviation
    return Mean(value, max(value - reach, low), min(value + reach, high))


def student_t(freedom: int) -> float:
    """The 97.5% quantile of Student's distribution: exact for 1 and 2 degrees of freedom, then Hill's series (1970)."""
    if freedom < 3:
        return (12.706205, 4.302653)[freedom - 1]
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))
