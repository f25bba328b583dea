"""The progress line of training."""

from types import SimpleNamespace

import pytest
import torch

from training.progress import StageProgress


def test_progress_shows_stage_step_loss_and_speed(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    trainer = SimpleNamespace(
        global_step=0,
        estimated_stepping_batches=100,
        world_size=2,
        callback_metrics={"train/loss": torch.tensor(0.5)},
    )
    module = SimpleNamespace(items_in_batch=len, items_name="images")
    bar = StageProgress("stage1")
    bar.on_train_start(trainer, module)
    trainer.global_step, now[0] = 10, 40.0
    bar.on_train_batch_end(trainer, module, None, [0] * 400, 9)
    assert capsys.readouterr().err == "stage1  step 10/100  loss 0.5  20 images/s  6 min left\n"
