"""Counts floating point operations of matrix products, convolutions and attention in whatever runs.

It intercepts calls of torch's functions and changes none of them. torch's own FlopCounterMode works below autograd, where
the same step was rounded otherwise in its backward pass: a resumed run was no longer equal.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

MATMULS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm, torch.bmm, Tensor.bmm)
CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


class FlopCounter(TorchFunctionMode):
    """While it is active, `flops` grows with each call by its forward pass and by what backward will take.

    Backward takes as much again for each of two factors that has a gradient, and for attention twice as much. Calls
    within a backward pass, as of checkpointed layers that are recomputed, are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and len(args) > 1 and torch._C._current_graph_task_id() < 0:
            self.flops += _flops(func, args, out)
        return out


def _flops(func: Callable, args: tuple, out: Tensor) -> int:
    one, other = args[:2]
    if func is F.linear or func in MATMULS:
        forward = 2 * out.numel() * one.shape[-1]
    elif func in CONVOLUTIONS:
        forward = 2 * out.numel() * other[0].numel()
    elif func is F.scaled_dot_product_attention:
        forward = 2 * (one.numel() + out.numel()) * other.shape[-2]  # queries by keys, then by values
        return 3 * forward if out.requires_grad else forward
    else:
        return 0
    learned = (one.requires_grad, other.requires_grad) if out.requires_grad else ()
    return forward * (1 + sum(learned))
