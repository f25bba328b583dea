"""The fixed precision in which codes and frozen features are computed, whatever surrounds them.

A code is the index of the nearest row of a codebook, so a rounding moves it: with products in bfloat16 most of the
playground's codes become others (docs/decisions/). Training, `datamodules.tokenize`, evaluation and drawing must agree
on them. So encoder, projection and distances are computed in one dtype: no autocast, no TF32, and weights that
`.to(torch.bfloat16)` leaves in single precision.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

ComputeDtype = Literal["float32", "bfloat16"]
BACKENDS = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")


class FullPrecision(nn.Module):
    """A module whose weights stay in single precision when it, or a module that holds it, is cast to a half."""

    compute_dtype: ComputeDtype = "float32"  # of an encoder: in which its features are computed

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FullPrecision":
        return super()._apply(lambda tensor: _apply_exact(fn, tensor), recurse)


def _apply_exact(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    changed = fn(tensor)
    half = changed.is_floating_point() and changed.itemsize < 4
    return tensor.to(changed.device, torch.float32) if half else changed


@contextmanager
def fixed_precision(device_type: str, dtype: ComputeDtype = "float32") -> Iterator[None]:
    """Multiplies in float32, or in bfloat16 by autocast, whatever autocast and matmul precision are set around it."""
    with _exact_products(), torch.autocast(device_type, torch.bfloat16, enabled=dtype == "bfloat16"):
        yield


@contextmanager
def _exact_products() -> Iterator[None]:
    """No TF32, nor bfloat16 on CPUs that have it, in products and convolutions of single precision."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set by backend, and torch refuses to mix that with this setting
        with _exact_backends():
            yield
        return
    convolutions = torch.backends.cudnn.allow_tf32
    if precision == "highest" and not (convolutions and torch.cuda.is_available()):
        yield
        return
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def _exact_backends() -> Iterator[None]:
    found = [_backend(name) for name in BACKENDS]
    before = [backend.fp32_precision for backend in found]
    try:
        for backend in found:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(found, before, strict=True):
            backend.fp32_precision = precision


def _backend(name: str) -> Any:
    library, operation = name.split(".")
    return getattr(getattr(torch.backends, library), operation)


def frozen_features(encoder: FullPrecision, images: Tensor) -> Tensor:
    """Features of a frozen encoder, the same everywhere: (B, 3, H, W) uint8 -> (B, N, D) float32."""
    with torch.no_grad(), fixed_precision(images.device.type, encoder.compute_dtype):
        return encoder(images).float()
