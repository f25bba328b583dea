"""Cuts a training off in the middle, as a kill would, so that what goes on after it can be looked at."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import pytest


@contextmanager
def cut_off(module: type[L.LightningModule], after: int, error: type[Exception] = KeyError) -> Iterator[None]:
    """What trains a module in it must end with an error as the step that follows `after` steps begins."""
    step = module.training_step

    @functools.wraps(step)  # Lightning looks at the signature
    def cut(self: L.LightningModule, batch: Any) -> Any:
        if self.trainer.global_step >= after:
            raise KeyError("cut")
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(error, match="cut"):
        patch.setattr(module, "training_step", cut)
        yield
