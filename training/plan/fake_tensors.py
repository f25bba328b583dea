"""Makes a module of the meta device runnable: tensors that pretend to lie on a device and hold nothing.

A stack of equal layers is cut down to a few while it is measured: each layer more takes as much as the one before it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

LEAST = 4  # layers that make a stack


def stacks_in(module: nn.Module) -> list[list[nn.ModuleList]]:
    """Stacks of equal layers, in groups of the same kind and length; none within another."""
    groups: dict[tuple, list[nn.ModuleList]] = {}
    inside: set[int] = set()
    for child in module.modules():
        if not isinstance(child, nn.ModuleList) or id(child) in inside or len(child) < LEAST:
            continue
        sizes = {(type(layer), sum(p.numel() for p in layer.parameters())) for layer in child}
        if len(sizes) == 1:
            inside |= {id(inner) for inner in child.modules() if inner is not child}
            groups.setdefault((*sizes, len(child)), []).append(child)
    return list(groups.values())


@contextmanager
def cut(group: list[nn.ModuleList], layers: int) -> Iterator[None]:
    """While it lasts the stacks of a group have only their first layers."""
    whole = [stack._modules for stack in group]
    for stack in group:
        stack._modules = OrderedDict(list(stack._modules.items())[:layers])
    try:
        yield
    finally:
        for stack, modules in zip(group, whole, strict=True):
            stack._modules = modules


def makes_again(module: nn.Module) -> bool:
    """Whether any layer makes its activations again."""
    return any(
        getattr(child, "gradient_checkpointing", False) or "forward" in child.__dict__
        for child in module.modules()
    )


@contextmanager
def all_kept(module: nn.Module) -> Iterator[None]:
    """While it lasts no layer makes its activations again."""
    flags, wrapped = [], []
    for child in module.modules():
        if getattr(child, "gradient_checkpointing", False):
            flags.append(child)
            child.gradient_checkpointing = False
        if "forward" in child.__dict__:  # as models/tokenizer/pretrained_encoder.py has it
            wrapped.append((child, child.__dict__.pop("forward")))
    try:
        yield
    finally:
        for child in flags:
            child.gradient_checkpointing = True
        for child, forward in wrapped:
            child.forward = forward


@contextmanager
def hollow(module: nn.Module, dtypes: dict[int, torch.dtype]) -> Iterator[list[Tensor]]:
    """While it lasts the module's tensors are hollow ones; gives them.

    Args:
        module: on the meta device.
        dtypes: of parameters that are computed in another precision than they are kept in, by id.
    """
    saved: list[tuple[dict, str, Tensor]] = []
    made: dict[int, Tensor] = {}
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        for child in module.modules():
            for own in (child._parameters, child._buffers):
                for name, tensor in own.items():
                    if tensor is None:
                        continue
                    saved.append((own, name, tensor))
                    if id(tensor) not in made:
                        made[id(tensor)] = _hollow(tensor, dtypes.get(id(tensor), tensor.dtype))
                    own[name] = made[id(tensor)]
        try:
            yield list(made.values())
        finally:
            for own, name, tensor in saved:
                own[name] = tensor


def _hollow(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    made = torch.empty(tensor.shape, dtype=dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made
