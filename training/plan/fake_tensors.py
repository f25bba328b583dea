"""Runs a module of the meta device: its tensors pretend to lie on a CPU and hold nothing.

A stack of equal layers is cut down to a few while it is measured: each layer more takes as much as the one before it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

MIN_LAYERS = 4  # that make a stack
Stacks = list[nn.ModuleList]


@contextmanager
def replaced(changes: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """While it lasts attributes of objects have other values."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def layer_stacks(module: nn.Module) -> list[Stacks]:
    """Stacks of equal layers, in groups of the same kind and length; none within another."""
    groups: dict[tuple, Stacks] = {}
    inside: set[int] = set()
    for child in module.modules():
        if not isinstance(child, nn.ModuleList) or id(child) in inside or len(child) < MIN_LAYERS:
            continue
        sizes = {(type(layer), sum(p.numel() for p in layer.parameters())) for layer in child}
        if len(sizes) == 1:
            inside |= {id(inner) for inner in child.modules() if inner is not child}
            groups.setdefault((*sizes, len(child)), []).append(child)
    return list(groups.values())


def keep_layers(groups: list[Stacks], counts: list[int]) -> AbstractContextManager[None]:
    """While it lasts the stacks of each group have only their first layers."""
    pairs = [(stack, count) for group, count in zip(groups, counts, strict=True) for stack in group]
    return replaced([(s, "_modules", OrderedDict(list(s._modules.items())[:count])) for s, count in pairs])


def recomputing(module: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """What makes layers recompute their activations in the backward pass, and the value that stops it."""
    flag, layers = "gradient_checkpointing", list(module.modules())
    flags = [(layer, flag, False) for layer in layers if getattr(layer, flag, False)]
    wrapped = [
        layer for layer in layers if "forward" in layer.__dict__
    ]  # models/tokenizer/pretrained_encoder.py
    return flags + [(layer, "forward", type(layer).forward.__get__(layer)) for layer in wrapped]


def keep_activations(module: nn.Module) -> AbstractContextManager[None]:
    """While it lasts no layer recomputes its activations."""
    return replaced(recomputing(module))


@contextmanager
def fake_weights(module: nn.Module, dtypes: dict[int, torch.dtype]) -> Iterator[list[Tensor]]:
    """While it lasts the tensors of a module on the meta device are fake ones, some by id of other types; gives them."""
    tables = [table for child in module.modules() for table in (child._parameters, child._buffers)]
    before = [dict(table) for table in tables]
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = [*module.parameters(), *module.buffers()]
        fakes = {id(t): _fake(t, dtypes.get(id(t), t.dtype)) for t in tensors}
        try:
            for table, own in zip(tables, before, strict=True):
                table.update({name: fakes[id(t)] for name, t in own.items() if t is not None})
            yield list(fakes.values())
        finally:
            for table, own in zip(tables, before, strict=True):
                table.update(own)


def _fake(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    made = torch.empty(tensor.shape, dtype=dtype, device="cpu")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
