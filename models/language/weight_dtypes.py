"""Weights that learn are kept in single precision, and of those that do not only the matrices may be kept in a half.

An AdamW step at the rates of these stages moves a weight by less than half of what bfloat16 tells apart, so most updates
of a weight kept in it round away (docs/decisions/training.md). Products are in half precision by autocast all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.language.lora import merged_state_dict
from models.language.unified_lm import UnifiedLM

FrozenDtype = Literal["float32", "bfloat16", "float16"]
WHERE = "model.init_args.frozen_dtype"


def check_frozen_dtype(name: str, precision: str | None = None, sharded: bool = False) -> None:
    """Makes sure that frozen weights can be kept in a dtype, by the Trainer's precision and a sharding strategy."""
    if name not in get_args(FrozenDtype):
        raise ValueError(f"{WHERE} is {name!r}; there is {', '.join(get_args(FrozenDtype))}")
    if name == "float32":
        return
    if sharded:
        raise ValueError(
            f"{WHERE} {name}: this strategy spreads the weights instead: leave it out, or give ddp"
        )
    if precision is not None and not precision.endswith("-mixed"):
        raise ValueError(
            f"{WHERE} {name} needs autocast beside what learns in float32: "
            f"give --trainer.precision=bf16-mixed, not {precision}"
        )


@torch.no_grad()
def set_weight_dtypes(language: UnifiedLM, frozen: FrozenDtype) -> None:
    """Brings what learns, norms and biases to single precision, frozen matrices to a dtype; in place, one at a time."""
    for parameter in language.parameters():
        kept = getattr(torch, frozen) if not parameter.requires_grad and parameter.ndim > 1 else torch.float32
        if parameter.dtype != kept:
            parameter.data = parameter.data.to(kept)


def half_dtypes(language: nn.Module) -> set[torch.dtype]:
    """The half dtypes among a model's weights, where others are in single precision; none where all are of one."""
    found = {parameter.dtype for parameter in language.parameters()}
    return found - {torch.float32} if len(found) > 1 else set()


@contextmanager
def drawing_precision(language: UnifiedLM | None) -> Iterator[None]:
    """While it lasts a model of two dtypes is all in the half, to draw and answer in; all is restored exactly."""
    half = None if language is None else next(iter(half_dtypes(language)), None)
    parameters = [] if language is None or half is None else language.parameters()
    single = [p for p in parameters if p.dtype == torch.float32]
    kept = [parameter.data for parameter in single]
    try:
        for parameter in single:
            parameter.data = parameter.data.to(half)
        yield
    finally:
        for parameter, data in zip(single, kept, strict=True):
            parameter.data = data


@torch.no_grad()
def export_state_dict(language: UnifiedLM) -> dict[str, Tensor]:
    """All weights in single precision on the CPU, low-rank additions merged: what a model folder holds."""
    own = {name: tensor for name, tensor in language.state_dict().items() if not name.startswith("trunk.")}
    every = own | merged_state_dict(language.trunk, "trunk.")
    return {name: t.cpu().float() if t.is_floating_point() else t.cpu() for name, t in every.items()}
