"""A stage's model ready to be looked at: in eval mode, with its averaged weights, and unsharded."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from lightning_modules.stage_module import StageModule
from models.language.weight_dtypes import drawing_precision
from models.sharding import unsharded
from models.unified import Illume


@contextmanager
def eval_mode(stage: StageModule | Illume) -> Iterator[Illume]:
    """Yields a stage's model in eval mode, with the averaged UNet where there is one; a sharded one is unsharded.

    Every process must enter. Afterwards every mode, weight and random state is as before, so that training goes on
    unchanged. An `Illume`, as a branch of a comparison is, stands for itself.
    """
    model, ema = (stage, None) if isinstance(stage, Illume) else (stage.model, stage.ema)
    modes = {module: module.training for module in stage.modules()}
    unet = None if ema is None else model.detokenizer.unet
    try:
        half = drawing_precision(model.language)
        with torch.no_grad(), isolate_rng(), unsharded(model.language), half:
            model.eval()
            if unet is not None:
                model.detokenizer.unet = ema.module.eval()
            yield model
    finally:
        if unet is not None:
            model.detokenizer.unet = unet
        for module, mode in modes.items():
            module.training = mode
