"""Precomputed codes and features: those of training, and refused once they are stale."""

import pytest
import torch

from datamodules.precomputed import StaleCodes
from tests.datamodules.tokenized import loader, run, world
from tests.fixtures import tiny_illume

__all__ = ["tiny_illume", "world"]


@pytest.mark.parametrize("workers", [0, 2])
def test_stale_codes_stop_the_run(world, tiny_illume, workers):
    for name in ("pairs", "edits", "stories"):
        run(world, name)
    with torch.no_grad():
        tiny_illume.tokenizer.codebook.add_(0.1)
    with pytest.raises(StaleCodes, match="codes of another model .* compute them again with"):
        list(loader(world, "codes", tiny_illume, workers))
