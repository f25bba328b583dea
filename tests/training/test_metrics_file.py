"""metrics.csv is read row by row, without one that is being written."""

from pathlib import Path

from training.metrics_file import read_rows


def test_a_torn_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_rows(path) == ([], [])
    path.write_text("step,a\n0,1.5\n1,")
    assert read_rows(path) == (["step", "a"], [{"step": "0", "a": "1.5"}])
