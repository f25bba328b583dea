"""Products of a few rows with large matrices, each laid out once in the way that the device reads fastest.

Writing one token a row is bound by how fast weights go through such products. On a CPU in single precision, oneDNN on
weights in its own order takes a half to a quarter of the time of the library that `torch.nn.functional.linear` calls
(docs/understand/performance.md); elsewhere the products are torch's own. What is computed is the same, but for rounding.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]  # (R, D) -> (R, V)
Addition = Callable[
    [Tensor, Tensor], Tensor
]  # (R, V), (R, D) -> (R, V): the residual, and what is added to it
ROWS = 16  # that the order of the weights is chosen for; any number can be multiplied


def can_pack(weight: Tensor) -> bool:
    """Whether products with this matrix have an order of their own."""
    backend = torch.backends.mkldnn
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return (
        plain
        and backend.is_available()
        and backend.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def product(weights: Sequence[Tensor], biases: Sequence[Tensor | None], copy: bool = True) -> Product:
    """Makes x -> x W^T + b of several matrices (V_i, D), side by side.

    Args:
        weights: the matrices, alike in what they are.
        biases: (V_i,) of all of them, or None of all.
        copy: whether they may be copied to be read faster.
    """
    if not copy:
        return lambda x: _side_by_side(x, weights, biases)
    weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
    added = [bias for bias in biases if bias is not None]
    bias = torch.cat(added) if added else None
    if not can_pack(weight):
        return lambda x: F.linear(x, weight, bias)
    packed, run = _pack(weight), torch.ops.mkldnn._linear_pointwise.default
    return lambda x: run(x, packed, bias, "none", [], "")


def normed(
    scale: Tensor, eps: float, weights: Sequence[Tensor], biases: Sequence[Tensor | None], copy: bool = True
) -> Product:
    """Makes x -> n(x) W^T + b, where n is the RMSNorm with a scale (D,); else as `product`."""
    if not copy or not can_pack(weights[0]):
        plain = product(weights, biases, copy)
        return lambda x: plain(F.rms_norm(x, scale.shape, scale, eps))
    folded = product([weight * scale for weight in weights], biases)
    width, least = len(scale), torch.tensor(eps)

    def run(x: Tensor) -> Tensor:  # torch's own is eight small operations on a CPU
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return folded(x * torch.addcmul(least, size, size, value=1 / width).rsqrt_())

    return run


def addition(weight: Tensor, bias: Tensor | None, copy: bool = True) -> Addition:
    """Makes to, x -> to + x W^T + b."""
    if not copy or not can_pack(weight):
        turned = weight.T
        if bias is None:
            return lambda to, x: torch.addmm(to, x, turned)
        return lambda to, x: torch.addmm(to, x, turned) + bias
    packed, run = _pack(weight), torch.ops.mkldnn._linear_pointwise.binary
    return lambda to, x: run(x, to, packed, bias, "add")


def _pack(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)


def _side_by_side(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Tensor:
    made = [F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)]
    return made[0] if len(made) == 1 else torch.cat(made, -1)
