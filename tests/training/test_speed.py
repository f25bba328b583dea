"""What is logged of speed: real operations over a real peak, at the steps that are logged, and in a file of its own."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

import training.speed
from tests.tiny import TinyModule
from training.csv_logger import AppendingCSVLogger, read_rows
from training.speed import Speed

STEP = (
    2 * 2 * 4 * 4
)  # forward and the weights' gradient: 2 operations each for 4 rows of 4 inputs to 1 output


class Counting(TinyModule):
    items_name = "rows"

    def items_in_batch(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.tensor(len(batch))


def fit(
    folder: Path,
    speed: Speed,
    steps: int = 6,
    every: int = 2,
    module: TinyModule | None = None,
    **settings: object,
) -> Trainer:
    files = [AppendingCSVLogger(folder / f"{name}.csv", name == "machine") for name in ("metrics", "machine")]
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, default_root_dir=folder, callbacks=[speed], logger=files,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=every, **settings,
    )  # fmt: skip
    trainer.fit(module or Counting(), torch.utils.data.DataLoader(torch.ones(64, 4), 4))
    return trainer


def test_mfu_is_counted_flops_over_the_stated_peak(tmp_path: Path) -> None:
    trainer = fit(tmp_path, Speed(peak_tflops=STEP / 1e12))  # one step a second
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["speed/mfu"] == pytest.approx(found["speed/steps_per_s"], rel=1e-5)
    assert found["speed/rows_per_s"] == pytest.approx(4 * found["speed/steps_per_s"], rel=1e-5)
    assert 0.05 < found["memory/peak"] < 64


def test_speed_is_logged_at_logged_steps_and_in_machine_csv(tmp_path: Path) -> None:
    fit(tmp_path, Speed(peak_tflops=1.0))
    columns, rows = read_rows(tmp_path / "machine.csv")
    assert set(columns) == {"step", "speed/mfu", "speed/rows_per_s", "speed/steps_per_s", "memory/peak"}
    assert [int(row["step"]) for row in rows] == [1, 3, 5]
    assert not [
        name for name in read_rows(tmp_path / "metrics.csv")[0] if name.startswith(("speed", "memory"))
    ]


def test_a_step_of_several_batches_is_counted_whole(tmp_path: Path) -> None:
    trainer = fit(tmp_path, Speed(peak_tflops=STEP / 1e12), steps=3, every=1, accumulate_grad_batches=2)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["speed/mfu"] == pytest.approx(2 * found["speed/steps_per_s"], rel=1e-5)
    assert len(read_rows(tmp_path / "machine.csv")[1]) == 3


def test_flops_are_counted_in_the_steps_that_are_timed(tmp_path: Path) -> None:
    """A first batch that is larger than those that follow must not count for all of them."""

    class Shrinking(Counting):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            return super().training_step(batch[: 4 if self.global_step == 0 else 1], batch_idx)

    trainer = fit(tmp_path, Speed(peak_tflops=STEP / 1e12), module=Shrinking())
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["speed/mfu"] == pytest.approx(found["speed/steps_per_s"] / 4, rel=1e-5)


def test_the_device_is_synchronized_before_the_time_is_taken(tmp_path: Path, monkeypatch) -> None:
    """Else the first steps would count as done in the time that it took to ask for them."""
    waited = []
    monkeypatch.setattr(training.speed, "synchronize", lambda device: waited.append(device.type))
    fit(tmp_path, Speed(), steps=6, every=2)
    assert len(waited) == 2 + 2 * 3  # at the start, at the epoch's, and before and after what is logged


def test_no_mfu_without_a_known_peak(tmp_path: Path) -> None:
    fit(tmp_path, Speed())
    columns = read_rows(tmp_path / "machine.csv")[0]
    assert "speed/mfu" not in columns and "speed/steps_per_s" in columns


def test_a_peak_of_zero_switches_counting_off(tmp_path: Path) -> None:
    speed = Speed(peak_tflops=0)
    fit(tmp_path, speed)
    assert speed.flops == 0 and "speed/mfu" not in read_rows(tmp_path / "machine.csv")[0]
    with pytest.raises(ValueError, match="at least 0"):
        Speed(peak_tflops=-1)


def test_counting_changes_no_metric_and_ends_on_errors(tmp_path: Path) -> None:
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
