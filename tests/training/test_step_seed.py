"""Random numbers follow from seed, rank, epoch and batch alone."""

import random
from types import SimpleNamespace

import numpy as np
import torch

from training.step_seed import StepSeed


def draw(seed: int, rank: int = 0, epoch: int = 0, batch: int | None = 0) -> list[float]:
    """A number of each generator at a batch; None: at the start of the epoch."""
    trainer = SimpleNamespace(global_rank=rank, current_epoch=epoch)
    callback = StepSeed(seed)
    if batch is None:
        callback.on_train_epoch_start(trainer, None)
    else:
        callback.on_train_batch_start(trainer, None, None, batch)
    return [float(torch.rand(1)), float(np.random.rand()), random.random()]


def test_the_same_position_draws_the_same_numbers() -> None:
    first = draw(1, batch=3)
    draw(1, batch=4)
    assert draw(1, batch=3) == first
    for other in (draw(2, batch=3), draw(1, epoch=1, batch=3), draw(1, rank=1, batch=3), draw(1, batch=4)):
        assert all(one != another for one, another in zip(first, other, strict=True))


def test_all_ranks_share_the_order_of_an_epoch() -> None:
    assert draw(1, rank=0, batch=None) == draw(1, rank=1, batch=None) != draw(1, epoch=1, batch=None)
