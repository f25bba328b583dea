"""Interrupts a training in the middle, as a kill would, to test what continues it."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import pytest


@contextmanager
def cut_off(module: type[L.LightningModule], after: int, error: type[Exception] = KeyError) -> Iterator[None]:
    """Makes the training of a module in this block fail as the step after `after` steps begins."""
    step = module.training_step

    @functools.wraps(step)  # Lightning looks at the signature
    def cut(self: L.LightningModule, batch: Any) -> Any:
        if self.trainer.global_step >= after:
            raise KeyError("cut")
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(error, match="cut"):
        patch.setattr(module, "training_step", cut)
        yield
