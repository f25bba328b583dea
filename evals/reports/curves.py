"""Metrics of a run as curves, from its metrics.csv."""

import csv
from collections import defaultdict
from math import isfinite
from pathlib import Path

POINTS = 80  # a longer training curve is averaged down to these

Curve = list[tuple[float, float]]  # (step, value)


def read_metrics(path: Path, x: str = "step") -> dict[str, Curve]:
    """Every column of a metrics file with its points over column `x`, in order; NaN is a value, too."""
    if not path.is_file():
        return {}
    curves: dict[str, Curve] = defaultdict(list)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name and name not in (x, "step", "epoch") and (point := _point(row.get(x), text)):
                    curves[name].append(point)
    return dict(curves)


def read_losses(path: Path) -> dict[str, Curve]:
    """The losses of a metrics file by column; `train/loss` and `val/loss` only where they are not split further."""
    losses = ("train/loss", "val/loss")
    curves = {name: curve for name, curve in read_metrics(path).items() if name.startswith(losses)}
    for name in losses:
        if any(other.startswith(f"{name}_") for other in curves):
            curves.pop(name, None)
    return curves


def _point(x: str | None, y: str | None) -> tuple[float, float] | None:
    try:  # a run that is being written may end in half a row
        point = float(x or "nan"), float(y or "nan")
    except (ValueError, TypeError):
        return None
    return point if y and isfinite(point[0]) else None


def average(curve: Curve, points: int = POINTS) -> Curve:
    """A curve of at most `points` points, each the mean of its neighbours; one without a number leaves none there."""
    size = -(-len(curve) // points) or 1
    groups = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
