"""Counts what a step takes, tensor by tensor and product by product, while it runs on fake tensors."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from training.plan.fake_tensors import replaced

aten = torch.ops.aten


def _added_product(own: Tensor, one: Tensor, other: Tensor, **_: Any) -> int:
    return 2 * one.shape[0] * one.shape[1] * other.shape[1]


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(slope: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(slope.shape, query.shape, key.shape, value.shape)


# What torch's FlopCounterMode counts, and what it leaves out: attention as a CPU runs it, and products added in place.
FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten.addmm_: _added_product,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}

BEFORE, FORWARD, BACKWARD = range(3)  # until what learns is at work; from there on; gradients are made


class Usage(NamedTuple):
    """What one micro-batch takes of a device: bytes, and floating point operations.

    `kept` is what the backward pass needs of the forward pass; `peaks` are beside weights and gradients, by phase, for
    with another number of layers another may be the highest; `copied` of them are weights in another precision. Among
    the operations `backward` are recomputed ones, and `float32` of all are in single precision, which is slower.
    """

    kept: float
    peaks: tuple[float, ...]
    copied: tuple[float, ...]
    forward: float
    backward: float
    float32: float

    @property
    def peak(self) -> float:
        """The most at any time."""
        return max(self.peaks)

    @property
    def copies(self) -> float:
        """Of the peak."""
        return self.copied[self.peaks.index(self.peak)]

    def plus(self, other: "Usage", times: float) -> "Usage":
        """With `times` another's."""
        return weighted([self, other], [1, times], 1)


def weighted(usages: Sequence[Usage], weights: Sequence[float], total: float = 0) -> Usage:
    """The sum of usages by their weights, divided by these weights' sum or another total."""
    total = total or sum(weights)

    def mean(*numbers: Any) -> Any:
        if isinstance(numbers[0], tuple):
            return tuple(map(mean, *numbers))
        return sum(weight * number for weight, number in zip(weights, numbers, strict=True)) / total

    return Usage(*map(mean, *usages))


class Meter(TorchDispatchMode):
    """While it is active, follows every storage from the operation that makes it until nothing holds it.

    What is made of real tensors alone, as indices and masks, is real, so that its values decide shapes as in training;
    so are new tensors of integers. All other tensors are fake.

    Neither `weights`, which are there before, nor their gradients are counted. That the `phase` is BACKWARD is for the
    caller to set.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.live = self.live_copies = self.operations = self.float32 = 0
        self.phase, self.peaks, self.copied = BEFORE, [0, 0, 0], [0, 0, 0]
        self._weights = [
            tensor.untyped_storage() for tensor in weights
        ]  # held, so that no other gets their address
        self._own = {storage._cdata for storage in self._weights}
        self._learning = {t.untyped_storage()._cdata for t in weights if t.requires_grad}
        self._sizes: dict[int, int] = dict.fromkeys(self._own, 0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = _run(func, args, kwargs)
        if (count := FLOPS.get(func._overloadpacket)) is not None:
            made = int(count(*args, **kwargs, out_val=out))
            self.operations += made
            if args[0].dtype == torch.float32:
                self.float32 += made
        is_copy = func._overloadpacket is aten._to_copy and args[0].untyped_storage()._cdata in self._own
        if self.phase == BEFORE and any(
            isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata in self._learning for leaf in args
        ):
            self.phase = FORWARD
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf, is_copy)
        return out

    def leave_out(self, tensor: Tensor) -> None:
        """No longer counts what a tensor holds: it is counted elsewhere."""
        key = tensor.untyped_storage()._cdata
        self.live -= self._sizes.get(key, 0)
        self._sizes[key] = 0

    def _follow(self, tensor: Tensor, is_copy: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        size = self._sizes[key] = storage.nbytes()
        weakref.finalize(storage, self._forget, key, is_copy)
        self.live += size
        self.live_copies += size * is_copy
        if self.live > self.peaks[self.phase]:
            self.peaks[self.phase], self.copied[self.phase] = self.live, self.live_copies

    def _forget(self, key: int, is_copy: bool) -> None:
        size = self._sizes.pop(key, 0)
        self.live -= size
        self.live_copies -= size * is_copy


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if any(isinstance(tensor, FakeTensor) for tensor in tensors):
        return func(*args, **kwargs)
    if not tensors:
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor) or out.is_floating_point():
            return out
    with unset_fake_temporarily():
        return func(*args, **kwargs)


def autocast_of_gpus() -> AbstractContextManager[None]:
    """Has a CPU's autocast keep in single precision what a GPU's does and memory depends on: norms and softmax.

    The functions themselves are changed for a while: a mode would not reach the backward pass, where layers that
    recompute their activations must do again what they did.
    """
    names = ("layer_norm", "group_norm", "softmax")
    return replaced([(F, name, _in_float32(getattr(F, name))) for name in names])


def _in_float32(function: Callable) -> Callable:
    def single(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.is_floating_point() else tensor

    def called(*args: Any, **kwargs: Any) -> Any:
        if torch.is_autocast_enabled("cpu"):
            args, kwargs = tree_map_only(Tensor, single, (args, kwargs))
        return function(*args, **kwargs)

    return called
