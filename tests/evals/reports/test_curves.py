"""Curves of a metrics.csv, torn rows included."""

from math import inf
from pathlib import Path

from evals.reports.curves import average, read_losses, read_metrics

METRICS = "step,images,train/loss,val/loss,lr\n0,,inf,,1\n9,320,2.0,,1\n9,,,1.5,\n"


def test_losses_are_read_by_column(tmp_path: Path) -> None:
    assert read_losses(tmp_path / "absent.csv") == {}
    (tmp_path / "metrics.csv").write_text(METRICS)
    losses = read_losses(tmp_path / "metrics.csv")
    assert losses == {"train/loss": [(0.0, inf), (9.0, 2.0)], "val/loss": [(9.0, 1.5)]}


def test_metrics_are_read_over_another_column(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(METRICS)
    assert read_metrics(tmp_path / "metrics.csv", "images") == {
        "train/loss": [(320.0, 2.0)],
        "lr": [(320.0, 1.0)],
    }


def test_long_curves_are_averaged() -> None:
    long = [(float(i), float(i % 2)) for i in range(1000)]
    assert len(average(long, 80)) <= 80 and all(0.4 < value < 0.6 for _, value in average(long, 80))
