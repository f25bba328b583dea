"""Perturbs new networks, whose norms are 1 and 0 and biases 0, so that a layer left out would change something."""

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def perturb(module: Module, seed: int = 0, scale: float = 0.5) -> Module:
    """Moves every one-dimensional parameter and every running statistic away from where it starts; in place.

    Args:
        module: any network.
        seed: of the noise.
        scale: of it; norms stay around 1, variances above 0.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator).to(tensor.device, tensor.dtype)

    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.add_(scale * noise(parameter))
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(scale * noise(buffer))
        elif name.endswith("running_var"):
            buffer.mul_((scale * noise(buffer)).exp())
    return module
