"""The one precision in which codes and frozen features are made, whatever surrounds it.

A code is the index of the nearest row of a codebook, so a rounding moves it: with products in bfloat16 most of the
playground's codes become others (docs/decisions/). Training, `datamodules.tokenize`, evaluation and drawing must agree
on them. So encoder, projection and distances are computed here in one stated dtype: no autocast, no TF32, and weights
that a Trainer's or a user's `.to(torch.bfloat16)` leaves as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

ComputeDtype = Literal["float32", "bfloat16"]
BACKENDS = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")


class FullPrecision(nn.Module):
    """A module whose weights stay in single precision when it, or what it is a part of, is cast to a half."""

    compute_dtype: ComputeDtype = "float32"  # of an encoder: in which its features are made

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FullPrecision":
        return super()._apply(lambda tensor: _unrounded(fn, tensor), recurse)


def _unrounded(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    made = fn(tensor)
    if not made.is_floating_point() or made.itemsize >= 4:
        return made
    return tensor.to(made.device, torch.float32)


@contextmanager
def fixed_precision(device_type: str, dtype: ComputeDtype = "float32") -> Iterator[None]:
    """While it lasts products are made in `dtype`, whatever autocast and matmul precision were chosen around it.

    Args:
        device_type: of the tensors, as "cpu" or "cuda".
        dtype: single precision, or bfloat16 by autocast, whose weights stay in single precision.
    """
    half = dtype == "bfloat16"
    with _exact_products(), torch.autocast(device_type, torch.bfloat16, enabled=half):
        yield


@contextmanager
def _exact_products() -> Iterator[None]:
    """No TF32, nor bfloat16 on CPUs that have it, in products and convolutions of single precision."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # the caller chose by backend, and torch refuses a mixture of the two ways
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
    """Features as an encoder that does not learn makes them everywhere: (B, 3, H, W) uint8 -> (B, N, D) float32."""
    with torch.no_grad(), fixed_precision(images.device.type, encoder.compute_dtype):
        return encoder(images).float()
