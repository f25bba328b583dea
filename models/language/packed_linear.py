"""Products of a few rows with large matrices, each packed once in the layout that the device reads fastest.

Decoding one token a row is bound by how fast weights go through such products. On a CPU in single precision, oneDNN on
weights in its own layout takes a half to a quarter of the time of the library that `torch.nn.functional.linear` calls
(docs/understand/performance.md); elsewhere the products are torch's own. The result is the same, but for rounding.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor], Tensor]  # (R, D) -> (R, V)
AddLinear = Callable[[Tensor, Tensor], Tensor]  # residual (R, V), x (R, D) -> (R, V)
ROWS = 16  # that the layout is chosen for; any number can be multiplied


def can_pack(weight: Tensor) -> bool:
    """Whether products with this matrix have a layout of their own."""
    backend = torch.backends.mkldnn
    usable = backend.is_available() and backend.enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return bool(usable) and weight.device.type == "cpu" and weight.dtype == torch.float32


def packed_linear(weights: Sequence[Tensor], biases: Sequence[Tensor | None], copy: bool = True) -> Linear:
    """Makes x -> x W^T + b of several matrices (V_i, D) side by side, which are only packed if they may be copied."""
    if not copy and len(weights) > 1:
        return lambda x: torch.cat([F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)], -1)
    weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
    added = [bias for bias in biases if bias is not None]
    bias = torch.cat(added) if added else None
    if not copy or not can_pack(weight):
        return lambda x: F.linear(x, weight, bias)
    packed, run = _pack(weight), torch.ops.mkldnn._linear_pointwise.default
    return lambda x: run(x, packed, bias, "none", [], "")


def packed_norm_linear(
    scale: Tensor, eps: float, weights: Sequence[Tensor], biases: Sequence[Tensor | None], copy: bool = True
) -> Linear:
    """Makes x -> n(x) W^T + b, where n is the RMSNorm with a scale (D,); else as `packed_linear`."""
    if not copy or not can_pack(weights[0]):
        plain = packed_linear(weights, biases, copy)
        return lambda x: plain(F.rms_norm(x, scale.shape, scale, eps))
    folded = packed_linear([weight * scale for weight in weights], biases)
    width, least = len(scale), torch.tensor(eps)

    def run(x: Tensor) -> Tensor:  # torch's own is eight small operations on a CPU
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return folded(x * torch.addcmul(least, size, size, value=1 / width).rsqrt_())

    return run


def packed_add_linear(weight: Tensor, bias: Tensor | None, copy: bool = True) -> AddLinear:
    """Makes residual, x -> residual + x W^T + b."""
    if copy and can_pack(weight):
        packed, run = _pack(weight), torch.ops.mkldnn._linear_pointwise.binary
        return lambda residual, x: run(x, residual, packed, bias, "add")
    if bias is None:
        return lambda residual, x: torch.addmm(residual, x, weight.T)
    return lambda residual, x: torch.addmm(residual, x, weight.T) + bias


def _pack(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
