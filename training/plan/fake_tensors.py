"""Runs a module of the meta device: its tensors pretend to lie on a CPU and hold nothing.

A stack of equal layers is cut down to a few while it is measured: each layer more takes as much as the one before it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

MIN_LAYERS = 4  # that make a stack


def layer_stacks(module: nn.Module) -> list[list[nn.ModuleList]]:
    """Stacks of equal layers, in groups of the same kind and length; none within another."""
    groups: dict[tuple, list[nn.ModuleList]] = {}
    inside: set[int] = set()
    for child in module.modules():
        if not isinstance(child, nn.ModuleList) or id(child) in inside or len(child) < MIN_LAYERS:
            continue
        sizes = {(type(layer), sum(p.numel() for p in layer.parameters())) for layer in child}
        if len(sizes) == 1:
            inside |= {id(inner) for inner in child.modules() if inner is not child}
            groups.setdefault((*sizes, len(child)), []).append(child)
    return list(groups.values())


@contextmanager
def keep_layers(group: list[nn.ModuleList], layers: int) -> Iterator[None]:
    """While it lasts the stacks of a group have only their first layers."""
    whole = [stack._modules for stack in group]
    for stack in group:
        stack._modules = OrderedDict(list(stack._modules.items())[:layers])
    try:
        yield
    finally:
        for stack, modules in zip(group, whole, strict=True):
            stack._modules = modules


def _checkpointed(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Layers that recompute activations, and the attribute by which they do."""
    own = [(child, name) for child in module.modules() for name in ("gradient_checkpointing", "forward")]
    return [
        (child, name) for child, name in own if child.__dict__.get(name)
    ]  # the second: models/tokenizer's way


def recomputes(module: nn.Module) -> bool:
    """Whether any layer recomputes its activations in the backward pass."""
    return bool(_checkpointed(module))


@contextmanager
def keep_activations(module: nn.Module) -> Iterator[None]:
    """While it lasts no layer recomputes its activations."""
    taken = [(child, name, child.__dict__.pop(name)) for child, name in _checkpointed(module)]
    for child, name, _ in taken:
        if name == "gradient_checkpointing":
            child.gradient_checkpointing = False
    try:
        yield
    finally:
        for child, name, value in taken:
            setattr(child, name, value)


@contextmanager
def fake_weights(module: nn.Module, dtypes: dict[int, torch.dtype]) -> Iterator[list[Tensor]]:
    """While it lasts the module's tensors are fake ones; gives them.

    Args:
        module: on the meta device.
        dtypes: of parameters that are computed in another precision than they are kept in, by id.
    """
    tables = [table for child in module.modules() for table in (child._parameters, child._buffers)]
    before = [dict(table) for table in tables]
    fakes: dict[int, Tensor] = {}
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            for table in tables:
                for name, tensor in table.items():
                    if tensor is not None:
                        if id(tensor) not in fakes:
                            fakes[id(tensor)] = _fake(tensor, dtypes.get(id(tensor), tensor.dtype))
                        table[name] = fakes[id(tensor)]
            yield list(fakes.values())
        finally:
            for table, own in zip(tables, before, strict=True):
                table.update(own)


def _fake(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    made = torch.empty(tensor.shape, dtype=dtype, device="cpu")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
