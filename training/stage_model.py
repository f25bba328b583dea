"""The model that a stage is training, as it would be exported, ready to be looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from models.language.weight_dtypes import drawing_precision
from models.sharding import gathered
from models.unified import Illume


def stage_model(module: nn.Module) -> Illume:
    """The module's own `model`, or one made of its encoder, tokenizer and detokenizer, as many as there are.

    An `Illume`, as one arm of a comparison is, stands for itself.
    """
    model = module if isinstance(module, Illume) else getattr(module, "model", None)
    if isinstance(model, Illume):
        return model
    parts = ("encoder", "tokenizer", "detokenizer")
    return Illume(**{name: getattr(module, name, None) for name in parts})


@contextmanager
def evaluated(module: nn.Module) -> Iterator[Illume]:
    """Yields the stage's model in eval mode, with the averaged UNet where there is one; a sharded one is gathered.

    Every process must enter. After it every mode, weight and random state is as before, so that training goes on as if
    nothing had been.
    """
    modes = {part: part.training for part in module.modules()}
    average, model = getattr(module, "ema", None), stage_model(module)
    unet = model.detokenizer.unet if average is not None else None
    try:
        half = drawing_precision(model.language)
        with torch.no_grad(), isolate_rng(), gathered(model.language), half:
            model.eval()
            if unet is not None:
                model.detokenizer.unet = average.module.eval()
            yield model
    finally:
        if unet is not None:
            model.detokenizer.unet = unet
        for part, mode in modes.items():
            part.training = mode
