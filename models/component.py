"""A component of a model: a network that knows the settings it was built with, as its `config.json` holds them."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class Component(nn.Module):
    """Keeps the arguments of its `__init__`, defaults among them, as `config`; None is left out where it is the default.

    A subclass that settles more while it is built writes it into `config` itself.
    """

    config: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> "Component":
        """Binds the arguments before `__init__` runs."""
        component = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(component, *args, **kwargs)  # partial: copying gives no arguments
        bound.apply_defaults()
        component.config = {
            name: value
            for name, value in list(bound.arguments.items())[1:]
            if value is not None or signature.parameters[name].default is not None
        }
        return component


def hash_components(components: Sequence[Component], more: str = "") -> str:
    """Twelve hex digits for the weights and configs of components in memory, and for `more`."""
    digest = hashlib.sha256(more.encode())
    for component in components:
        digest.update(json.dumps(component.config, sort_keys=True).encode())
        for name, tensor in sorted(component.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
