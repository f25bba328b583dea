"""What is logged of speed: real operations over a real peak, at the steps that are logged, and in a file of its own."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from callbacks.csv_logger import AppendingCSVLogger, read_rows
from callbacks.device_rate import matrix_rate, peak_memory, precision_of
from callbacks.matrix_work import MatrixWork
from callbacks.speed import Speed
from tests.tiny import TinyModule

STEP = (
    2 * 2 * 4 * 4
)  # forward and the weights' gradient: 2 operations each for 4 rows of 4 inputs to 1 output


class Counting(TinyModule):
    items_name = "rows"

    def items_in_batch(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.tensor(len(batch))


def fit(folder: Path, speed: Speed, steps: int = 6, every: int = 2, **settings: object) -> Trainer:
    files = [AppendingCSVLogger(folder / f"{name}.csv", name == "machine") for name in ("metrics", "machine")]
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, default_root_dir=folder, callbacks=[speed], logger=files,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=every, **settings,
    )  # fmt: skip
    trainer.fit(Counting(), torch.utils.data.DataLoader(torch.ones(64, 4), 4))
    return trainer


def test_mfu_is_what_was_counted_over_the_stated_peak(tmp_path: Path) -> None:
    speed = Speed(peak_tflops=STEP / 1e12)  # one step a second
    trainer = fit(tmp_path, speed)
    assert speed.flops == STEP
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["speed/mfu"] == pytest.approx(found["speed/steps_per_s"], rel=1e-5)
    assert found["speed/rows_per_s"] == pytest.approx(4 * found["speed/steps_per_s"], rel=1e-5)
    assert 0.05 < found["memory/peak"] < 64


def test_it_is_written_at_logged_steps_and_apart_from_what_a_second_run_gives_again(tmp_path: Path) -> None:
    fit(tmp_path, Speed(peak_tflops=1.0))
    columns, rows = read_rows(tmp_path / "machine.csv")
    assert set(columns) == {"step", "speed/mfu", "speed/rows_per_s", "speed/steps_per_s", "memory/peak"}
    assert [int(row["step"]) for row in rows] == [1, 3, 5]
    assert not [
        name for name in read_rows(tmp_path / "metrics.csv")[0] if name.startswith(("speed", "memory"))
    ]


def test_a_step_of_several_batches_is_counted_whole(tmp_path: Path) -> None:
    speed = Speed(peak_tflops=1.0)
    fit(tmp_path, speed, steps=3, every=1, accumulate_grad_batches=2)
    assert speed.flops == 2 * STEP and len(read_rows(tmp_path / "machine.csv")[1]) == 2


@pytest.mark.parametrize("learned", [True, False])
def test_what_is_counted(learned: bool) -> None:
    """Factor by factor: forward, and as much again for each factor that has a gradient."""
    times = 1 + 2 * learned
    rows, image = (torch.rand(*shape, requires_grad=learned) for shape in ((2, 3, 4), (2, 3, 8, 8)))
    counted = []
    for call, work in (
        (
            lambda: torch.nn.functional.linear(rows, torch.rand(5, 4, requires_grad=learned)),
            2 * 2 * 3 * 5 * 4 * times,
        ),
        (lambda: rows @ rows.mT, 2 * 2 * 3 * 3 * 4 * times),
        (
            lambda: torch.conv2d(image, torch.rand(6, 3, 3, 3, requires_grad=learned)),
            2 * 2 * 6 * 36 * 27 * times,
        ),
        (
            lambda: torch.nn.functional.scaled_dot_product_attention(rows, rows, rows),
            4 * 2 * 3 * 3 * 4 * times,
        ),
        (lambda: rows + rows, 0),
    ):
        with MatrixWork() as counter:
            call()
        counted.append((counter.operations, work))
    assert all(found == work for found, work in counted), counted


def test_no_peak_no_counting(tmp_path: Path) -> None:
    speed = Speed(peak_tflops=0)
    fit(tmp_path, speed)
    assert speed.flops == 0 and "speed/mfu" not in read_rows(tmp_path / "machine.csv")[0]
    with pytest.raises(ValueError, match="at least 0"):
        Speed(peak_tflops=-1)


def test_counting_changes_nothing_and_ends_where_training_breaks(tmp_path: Path) -> None:
    losses = []
    for peak in (0.0, 1.0):
        torch.manual_seed(0)
        fit(tmp_path / str(peak), Speed(peak_tflops=peak), every=1)
        losses.append((tmp_path / str(peak) / "metrics.csv").read_text())
    assert losses[0] == losses[1]
    speed = Speed(peak_tflops=1.0)
    speed.on_train_batch_start(None, None, None, 0)
    assert speed.counter is not None
    speed.on_exception(None, None, KeyboardInterrupt())
    assert speed.counter is None


def test_the_peak_is_measured_without_touching_the_random_state() -> None:
    before = torch.get_rng_state()
    small = 64  # on one thread: tests of several ranks fork this process afterwards
    assert 1e6 < matrix_rate(torch.device("cpu"), torch.float32, small) < 1e14
    assert torch.equal(torch.get_rng_state(), before)
    assert peak_memory(torch.device("cpu")) > 0.05


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("64", torch.float64),
    ],
)
def test_the_peak_is_that_of_the_runs_precision(name: str, dtype: torch.dtype) -> None:
    assert precision_of(name) == dtype
