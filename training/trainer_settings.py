"""Settings of Lightning's trainer that it takes, and that end in a traceback or in a run that trains nothing."""

from math import isfinite
from typing import Any

COUNTS = ("accumulate_grad_batches", "check_val_every_n_epoch")  # from 1
SHARES = ("limit_train_batches", "val_check_interval")  # a count or a share, but not 0


def check_trainer(trainer: Any) -> None:
    """Looks at settings before anything is built.

    Args:
        trainer: the settings, as jsonargparse parsed them.

    Raises:
        ValueError: one of them makes no run; says which.
    """
    for name in COUNTS:
        value = getattr(trainer, name, None)
        if value is not None and value < 1:
            raise ValueError(f"trainer.{name} is {value}, and must be 1 or more")
    for name in SHARES:
        if getattr(trainer, name, None) == 0:
            raise ValueError(f"trainer.{name} is 0, and must be a count from 1 or a share above 0")
    clip = getattr(trainer, "gradient_clip_val", None)
    if clip is not None and not (isfinite(clip) and clip >= 0):
        raise ValueError(
            f"trainer.gradient_clip_val is {clip}, and must be a number from 0; 0 or null clips nothing"
        )
