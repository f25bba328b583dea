"""Counts what a step takes, tensor by tensor and product by product, while it runs on tensors that hold nothing."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten
WIDE = ("layer_norm", "group_norm", "softmax")


def _added_product(own: Tensor, one: Tensor, other: Tensor, **_: Any) -> int:
    return 2 * one.shape[0] * one.shape[1] * other.shape[1]


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(slope: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(slope.shape, query.shape, key.shape, value.shape)


# What torch's FlopCounterMode counts, and what it leaves out: attention as a CPU runs it, and products added in place.
WORK: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten.addmm_: _added_product,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


BEFORE, FORWARD, BACKWARD = range(3)  # what learns is at work; gradients are made


class Used(NamedTuple):
    """What one micro-batch takes of a device: bytes, and floating point operations.

    Peaks are told apart by when they are, for with another number of layers another may be the highest.

    Attributes:
        kept: what the backward pass needs of the forward pass, when that is over.
        peaks: the most that was there at once beside weights and their gradients: before anything that learns was at
            work, in the forward pass, and in the backward pass.
        copied: weights in another precision, of those in `peaks`.
        forward: operations.
        backward: operations; what checkpointing makes again is among them.
        single: of all these, those on numbers of single precision, which are slower where a run's others are halves.
    """

    kept: float
    peaks: tuple[float, ...]
    copied: tuple[float, ...]
    forward: float
    backward: float
    single: float

    @property
    def peak(self) -> float:
        """The most at any time."""
        return max(self.peaks)

    @property
    def copies(self) -> float:
        """Of the peak."""
        return self.copied[self.peaks.index(self.peak)]

    def plus(self, other: "Used", times: float) -> "Used":
        """With `times` another's."""

        def each(one: tuple[float, ...], more: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(a + times * b for a, b in zip(one, more, strict=True))

        peaks, copied = each(self.peaks, other.peaks), each(self.copied, other.copied)
        kept, *operations = each((self.kept, *self[3:]), (other.kept, *other[3:]))
        return Used(kept, peaks, copied, *operations)


class Meter(TorchDispatchMode):
    """While it is active, follows every storage from the operation that makes it until nothing holds it.

    Args:
        weights: what is there before; neither they nor their gradients are counted.

    Attributes:
        time: BEFORE, FORWARD or BACKWARD; the last is for the caller to say.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.live = self.live_copies = self.operations = self.single = 0
        self.time, self.peaks, self.copied = BEFORE, [0, 0, 0], [0, 0, 0]
        self._weights = [tensor.untyped_storage() for tensor in weights]
        self._own = {storage._cdata for storage in self._weights}
        self._learning = {t.untyped_storage()._cdata for t in weights if t.requires_grad}
        self._sizes: dict[int, int] = dict.fromkeys(self._own, 0)
        self._copies: set[int] = set()
        self._watched: dict[int, weakref.ref] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if (work := WORK.get(func._overloadpacket)) is not None:
            made = int(work(*args, **(kwargs or {}), out_val=out))
            self.operations += made
            if args[0].dtype == torch.float32:
                self.single += made
        is_copy = func._overloadpacket is aten._to_copy and args[0].untyped_storage()._cdata in self._own
        if self.time == BEFORE and any(
            isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata in self._learning for leaf in args
        ):
            self.time = FORWARD
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._see(leaf, is_copy)
        return out

    def leave_out(self, tensor: Tensor) -> None:
        """No longer counts what a tensor holds: it is counted elsewhere."""
        key = tensor.untyped_storage()._cdata
        self.live -= self._sizes.get(key, 0)
        self._sizes[key] = 0

    def _see(self, tensor: Tensor, is_copy: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self._watched[key] = weakref.ref(storage, lambda _: self._forget(key))
        self.live += self._sizes[key]
        if is_copy:
            self._copies.add(key)
            self.live_copies += self._sizes[key]
        if self.live > self.peaks[self.time]:
            self.peaks[self.time], self.copied[self.time] = self.live, self.live_copies

    def _forget(self, key: int) -> None:
        size = self._sizes.pop(key, 0)
        self.live -= size
        if key in self._copies:
            self._copies.discard(key)
            self.live_copies -= size
        self._watched.pop(key, None)


@contextmanager
def autocast_of_gpus() -> Iterator[None]:
    """Has a CPU's autocast keep in single precision what a GPU's does and memory hangs on: norms and softmax.

    The functions themselves are changed for a while: a mode would not be heard in the backward pass, where layers whose
    activations are made anew must do again what they did.
    """
    own = {name: getattr(F, name) for name in WIDE}
    try:
        for name, function in own.items():
            setattr(F, name, _wide(function))
        yield
    finally:
        for name, function in own.items():
            setattr(F, name, function)


def _wide(function: Callable) -> Callable:
    def called(*args: Any, **kwargs: Any) -> Any:
        if torch.is_autocast_enabled("cpu"):
            args, kwargs = tuple(map(_single, args)), {key: _single(value) for key, value in kwargs.items()}
        return function(*args, **kwargs)

    return called


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
