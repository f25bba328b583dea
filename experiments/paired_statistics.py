"""Paired statistics of an ablation's arms, run with the same seeds: means, and gains with 95% intervals."""

from collections.abc import Mapping, Sequence
from math import isfinite, nan, sqrt
from statistics import mean, stdev
from typing import NamedTuple

from common.markdown import markdown_table

Runs = Mapping[str, Mapping[int, Mapping[str, float]]]  # arm, seed, measure
# Student's t at 97.5%, for 1 to 10 degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
MAX_SEEDS = len(STUDENT) + 1


class Gain(NamedTuple):
    """What one arm has over another: mean over seeds, half the 95% interval (None: one seed), and each seed's."""

    mean: float
    half: float | None
    each: list[float]


def paired_gain(arm: Mapping[int, float], other: Mapping[int, float]) -> Gain:
    """Differences seed by seed.

    Raises:
        ValueError: the two have not the same seeds, or more than MAX_SEEDS.
    """
    if set(arm) != set(other) or not 1 <= len(arm) <= MAX_SEEDS:
        raise ValueError(f"paired arms need the same 1 to {MAX_SEEDS} seeds: {sorted(arm)}, {sorted(other)}")
    each = [arm[seed] - other[seed] for seed in sorted(arm)]
    half = STUDENT[len(each) - 2] * spread(each) / sqrt(len(each)) if len(each) > 1 else None
    return Gain(mean(each), half, each)


def spread(values: Sequence[float]) -> float:
    """The standard deviation; NaN where a value is no finite number, so that such a run is seen and wins nothing."""
    return stdev(values) if all(map(isfinite, values)) else nan


def measures(runs: Runs) -> list[str]:
    """The measures that every run of at least one arm has, in the order of the first run that has them."""
    names: dict[str, None] = {}
    for by_seed in runs.values():
        reports = list(by_seed.values())
        names |= dict.fromkeys(name for name in reports[0] if all(name in report for report in reports))
    return list(names)


def column(runs: Runs, arm: str, measure: str) -> dict[int, float] | None:
    """A measure of each seed of an arm, or None where a run has it not."""
    found = {seed: report[measure] for seed, report in runs[arm].items() if measure in report}
    return found if len(found) == len(runs[arm]) else None


def summary(runs: Runs) -> dict[str, dict[str, dict[str, float | None]]]:
    """Arm, measure: mean and spread (the standard deviation over seeds, None for one seed)."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for arm in runs:
        columns = {measure: column(runs, arm, measure) for measure in measures(runs)}
        kept = {measure: list(values.values()) for measure, values in columns.items() if values}
        found[arm] = {
            measure: {"mean": mean(values), "spread": spread(values) if len(values) > 1 else None}
            for measure, values in kept.items()
        }
    return found


def gains(runs: Runs, pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, Gain]]:
    """Of each pair (arm, other): every measure that both have, as "arm over other"; pairs without one are left out."""
    found: dict[str, dict[str, Gain]] = {}
    for arm, other in pairs:
        both = [(m, column(runs, arm, m), column(runs, other, m)) for m in measures(runs)]
        if shared := {m: paired_gain(a, b) for m, a, b in both if a and b}:
            found[f"{arm} over {other}"] = shared
    return found


def table(runs: Runs, pairs: Sequence[tuple[str, str]], headings: Mapping[str, str]) -> str:
    """Markdown: a row an arm with its means, then a row a pair with its gains and their intervals.

    Args:
        runs: of every arm.
        pairs: (arm, other) to be compared.
        headings: of the measures that become columns.
    """
    means = summary(runs)
    names = [name for name in headings if any(name in measures for measures in means.values())]
    cells = {a: {n: f"{found['mean']:.3f}" for n, found in by_name.items()} for a, by_name in means.items()}
    for pair, by_name in gains(runs, pairs).items():
        cells[pair] = {name: _format(gain) for name, gain in by_name.items()}
    rows = [[title, *(row.get(name, "") for name in names)] for title, row in cells.items()]
    return markdown_table([["", *(headings[name] for name in names)], *rows])


def _format(gain: Gain) -> str:
    return f"{gain.mean:+.3f}" + ("" if gain.half is None else f" ± {gain.half:.3f}")
