"""The summary of an editing benchmark: the mean of each measure over edits, and by task where it names them."""

from collections.abc import Mapping, Sequence

from evals.editing.edits import Comparison
from evals.editing.measures import RANGES
from evals.intervals import clustered_mean
from evals.score_cache import Scores


def summary(prefix: str, comparisons: Sequence[Comparison], scores: Mapping[str, Scores]) -> dict[str, float]:
    """The report's scores with their 95% intervals, named `prefix/measure`, from those of each result by name."""
    report = _means(prefix, comparisons, scores)
    for task in sorted({one.task for one in comparisons if one.task is not None}):
        report |= _means(f"{prefix}/{task}", [one for one in comparisons if one.task == task], scores)
    return report


def _means(prefix: str, comparisons: Sequence[Comparison], scores: Mapping[str, Scores]) -> dict[str, float]:
    report: dict[str, float] = {f"{prefix}/samples": len(comparisons)}
    for measure, (low, high) in RANGES.items():
        measured = [one for one in comparisons if scores[one.name][measure] is not None]
        values = [scores[one.name][measure] for one in measured]
        if values:
            mean = clustered_mean(values, [one.cluster for one in measured], low, high)
            report |= mean.to_report(f"{prefix}/{measure}")
        if len(values) < len(comparisons):
            report[f"{prefix}/{measure}/samples"] = len(values)
    return report
