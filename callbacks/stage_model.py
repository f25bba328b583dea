"""The model that a stage is training, as it would be exported, ready to be looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.seed import isolate_rng

from models.unified import Illume


def stage_model(pl_module: LightningModule) -> Illume:
    """The module's own `model`, or one made of its encoder, tokenizer and detokenizer, as many as there are."""
    model = getattr(pl_module, "model", None)
    if isinstance(model, Illume):
        return model
    parts = ("encoder", "tokenizer", "detokenizer")
    return Illume(**{name: getattr(pl_module, name, None) for name in parts})


@contextmanager
def evaluated(pl_module: LightningModule) -> Iterator[Illume]:
    """Yields the stage's model in eval mode, with the averaged UNet where there is one.

    After it every mode, weight and random state is as before, so that training goes on as if nothing had been.
    """
    modes = {module: module.training for module in pl_module.modules()}
    average, model = getattr(pl_module, "ema", None), stage_model(pl_module)
    unet = model.detokenizer.unet if average is not None else None
    try:
        with torch.no_grad(), isolate_rng():
            model.eval()
            if unet is not None:
                model.detokenizer.unet = average.module.eval()
            yield model
    finally:
        if unet is not None:
            model.detokenizer.unet = unet
        for module, mode in modes.items():
            module.training = mode
