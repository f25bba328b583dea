"""A language model whose weights are sharded over processes (FSDP2), and its gradients.

Each layer of the trunk is a group of its own, gathered when it is needed and freed after; text and vision rows and the
last norm are another (arXiv 2304.11277). The adapter stays whole, as all other components do: a process whose batch shows
no image does not use it, and a group whose members differ in that would wait for each other for ever.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:  # every run imports this module, before it knows whether it shards anything
    from models.language.unified_lm import UnifiedLM


def shard(language: "UnifiedLM", mesh: DeviceMesh, dtype: torch.dtype | None = None) -> None:
    """Shards a language model, the same on every process, over a mesh of one dimension; `loss` gathers it from then on.

    A process copies its shard of each tensor in single precision and frees the tensor; a view of a mapped file never
    takes memory of its own. Weights are gathered and multiplied in `dtype`, None for their own; gradients are averaged
    in single precision.
    """
    policy = MixedPrecisionPolicy(dtype, None if dtype is None else torch.float32)
    for layer in trunk_layers(language.trunk):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    whole = set(language.adapter.parameters())
    fully_shard(language, mesh=mesh, mp_policy=policy, ignored_params=whole)
    language._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    register_fsdp_forward_method(language, "loss")


def trunk_layers(trunk: nn.Module) -> nn.ModuleList:
    """A trunk's layers, whatever they are called and however deep LoRA has put them."""
    return next(module for module in trunk.modules() if isinstance(module, nn.ModuleList))


def is_sharded(module: nn.Module | None) -> bool:
    """Whether a module is sharded over processes."""
    return isinstance(module, FSDPModule)


def local_shard(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor, in the same memory; a whole tensor is its own."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages the gradients of parameters that are not sharded over all processes, of which every one must call it.

    One that no process used keeps none; a process that did not use one adds zeros.
    """
    whole = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
    if not whole:
        return
    used = torch.tensor([p.grad is not None for p in whole], dtype=torch.int32, device=whole[0].device)
    distributed.all_reduce(used, distributed.ReduceOp.MAX)
    waiting = []
    for parameter, is_used in zip(whole, used.tolist(), strict=True):
        if is_used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            waiting.append(distributed.all_reduce(parameter.grad, async_op=True))
    for work in waiting:
        work.wait()
    for parameter in whole:
        if parameter.grad is not None:
            parameter.grad.div_(distributed.get_world_size())


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients together, with the shards of other processes: () on the device."""
    sharded = [g for g in gradients if isinstance(g, DTensor)]
    if not sharded:
        return torch.nn.utils.get_total_norm(gradients)
    square = torch.nn.utils.get_total_norm([g.to_local() for g in sharded]).square()
    distributed.all_reduce(square, group=sharded[0].device_mesh.get_group())
    if whole := [g for g in gradients if not isinstance(g, DTensor)]:
        square = square + torch.nn.utils.get_total_norm(whole).square()
    return square.sqrt()


@torch.no_grad()
def clip_gradients(gradients: Sequence[Tensor], limit: float, by: str = "norm") -> None:
    """Scales gradients to a norm of at most `limit`, or clamps each number to it where `by` is "value"."""
    if by != "value":
        factor = (limit / (gradient_norm(gradients) + 1e-6)).clamp(max=1)  # as torch's own
    for gradient in map(local_shard, gradients):
        gradient.clamp_(-limit, limit) if by == "value" else gradient.mul_(factor)


@contextmanager
def unsharded(language: nn.Module | None) -> Iterator[None]:
    """Gathers all weights of a sharded model on every process, in the precision it computes in; all must enter."""
    if not is_sharded(language):
        yield
        return
    root: Any = language
    groups: list[Any] = [module for module in root.modules() if isinstance(module, FSDPModule)]
    root._get_fsdp_state()._lazy_init()  # a layer that ran first would take itself for the root
    root.set_reshard_after_forward(False)  # drawing holds on to the weights
    try:
        for group in groups:
            group.unshard()
        yield
    finally:
        for group in groups:
            group.reshard()
            group.set_reshard_after_forward(group is not root, recurse=False)


def full_state_dict(module: nn.Module) -> dict[str, Any]:
    """A sharded model's weights as they are kept, on the first process's CPU, nothing elsewhere; all must call it."""
    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
