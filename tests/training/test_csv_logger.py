"""metrics.csv keeps every whole row, whatever cuts it off."""

from pathlib import Path

from training.csv_logger import AppendingCSVLogger
from training.metrics_file import read_rows


def test_each_row_is_on_disk_at_once(tmp_path: Path) -> None:
    logger = AppendingCSVLogger(tmp_path / "run" / "metrics.csv")
    for step in range(3):
        logger.log_metrics({"train/loss": 1 / (step + 3)}, step)
        assert [row["step"] for row in read_rows(logger.path)[1]] == [str(s) for s in range(step + 1)]
    assert [float(row["train/loss"]) for row in read_rows(logger.path)[1]] == [1 / 3, 1 / 4, 1 / 5]


def test_a_new_column_widens_the_file(tmp_path: Path) -> None:
    logger = AppendingCSVLogger(tmp_path / "metrics.csv")
    logger.log_metrics({"train/loss": 2.0}, 0)
    logger.log_metrics({"val/loss": 3.0}, 0)
    logger.log_metrics({"train/loss": 1.0}, 1)
    assert logger.path.read_text() == "step,train/loss,val/loss\n0,2.0,\n0,,3.0\n1,1.0,\n"


def test_a_resumed_run_cuts_what_it_logs_again(tmp_path: Path) -> None:
    first = AppendingCSVLogger(tmp_path / "metrics.csv")
    for step in range(5):
        first.log_metrics({"a": float(step), "b": 0.5}, step)
    with open(first.path, "a") as file:
        file.write("5,5.")  # torn off by a kill
    resumed = AppendingCSVLogger(first.path)
    resumed.log_metrics({"a": -1.0}, 3)
    resumed.log_metrics({"a": -2.0}, 3)
    assert resumed.path.read_text() == "step,a,b\n0,0.0,0.5\n1,1.0,0.5\n2,2.0,0.5\n3,-1.0,\n3,-2.0,\n"


def test_speed_and_memory_are_in_a_file_of_their_own(tmp_path: Path) -> None:
    metrics, machine = (AppendingCSVLogger(tmp_path / f"{m}.csv", m) for m in (False, True))
    for logger in (metrics, machine):
        logger.log_metrics({"train/loss": 2.0, "speed/mfu": 0.5, "epoch": 0}, 0)
        logger.log_metrics({"memory/peak": 3.0, "epoch": 0}, 1)
        logger.log_metrics({"epoch": 0}, 2)
    assert metrics.path.read_text() == "step,epoch,train/loss\n0,0,2.0\n"
    assert machine.path.read_text() == "step,speed/mfu,memory/peak\n0,0.5,\n1,,3.0\n"
