"""Settings of the trainer that make no run are named before anything is built."""

from types import SimpleNamespace

import pytest

from training.trainer_settings import check_trainer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accumulate_grad_batches", 0),
        ("accumulate_grad_batches", -2),
        ("check_val_every_n_epoch", 0),
        ("limit_train_batches", 0),
        ("limit_train_batches", 0.0),
        ("val_check_interval", 0),
        ("gradient_clip_val", -1.0),
        ("gradient_clip_val", float("nan")),
        ("gradient_clip_val", float("inf")),
    ],
)
def test_what_makes_no_run_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"trainer.{name} is"):
        check_trainer(SimpleNamespace(**{name: value}))


def test_usual_settings_pass() -> None:
    check_trainer(SimpleNamespace(accumulate_grad_batches=1, limit_train_batches=0.5, gradient_clip_val=1))
    check_trainer(
        SimpleNamespace(check_val_every_n_epoch=None, val_check_interval="00:00:10:00", gradient_clip_val=0)
    )
