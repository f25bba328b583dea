"""An editing benchmark's summary: each measure's mean over edits, and by task where the benchmark tells."""

from collections.abc import Mapping, Sequence

from evals.editing.edits import Comparison
from evals.editing.measures import RANGES
from evals.intervals import mean_of
from evals.score_cache import Numbers


def summary(
    prefix: str, comparisons: Sequence[Comparison], numbers: Mapping[str, Numbers]
) -> dict[str, float]:
    """The report's scores with their 95% intervals; edits of one image, or turns of one session, count as a cluster.

    Args:
        prefix: what the report calls them: `emu_edit`, `magicbrush`.
        comparisons: which edits.
        numbers: each result's measures.
    """
    report = _means(prefix, comparisons, numbers)
    for task in sorted({one.task for one in comparisons if one.task is not None}):
        report |= _means(f"{prefix}/{task}", [one for one in comparisons if one.task == task], numbers)
    return report


def _means(
    prefix: str, comparisons: Sequence[Comparison], numbers: Mapping[str, Numbers]
) -> dict[str, float]:
    report: dict[str, float] = {f"{prefix}/samples": len(comparisons)}
    for measure, (least, most) in RANGES.items():
        told = [(numbers[one.name][measure], one.group) for one in comparisons]
        values = [(value, group) for value, group in told if value is not None]
        if values:
            mean = mean_of([v for v, _ in values], [g for _, g in values], least, most)
            report |= mean.reported(f"{prefix}/{measure}")
        if len(values) < len(told):
            report[f"{prefix}/{measure}/samples"] = len(values)
    return report
