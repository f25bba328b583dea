"""A language model whose weights are spread over processes (FSDP2), and what has to know of it.

Each layer of the trunk is a group of its own, gathered as it is needed and let go after; text and vision rows and the
last norm are another (arXiv 2304.11277). The adapter stays whole: a process whose batch shows no image does not use it,
and a group whose members differ in that would wait for each other for ever. So do all other parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
    """Spreads a language model over the processes of a mesh; `loss` is what gathers it from then on.

    A process copies its share of each tensor and lets the tensor go. One that is a view of a mapped file never takes
    memory of its own, and may be of another type, as a published one is: a share is brought to single precision.

    Args:
        language: whole, the same on every process, or on the meta device.
        mesh: of one dimension.
        dtype: in which weights are gathered and products made; None: their own. Gradients are averaged in single
            precision.
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
    """Whether a part is spread over processes."""
    return isinstance(module, FSDPModule)


def local_shard(tensor: Tensor) -> Tensor:
    """This process's share of a tensor, in the same memory; a whole one is its own share."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages the gradients of whole parameters over all processes; one that no process used keeps none.

    Every process must come here, with the same parameters. A process that did not use one adds nothing to it.
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
    """The norm of all gradients together, the shares of other processes among them: () on the device."""
    shares = [g for g in gradients if isinstance(g, DTensor)]
    if not shares:
        return torch.nn.utils.get_total_norm(gradients)
    square = torch.nn.utils.get_total_norm([share.to_local() for share in shares]).square()
    distributed.all_reduce(square, group=shares[0].device_mesh.get_group())
    whole = [g for g in gradients if not isinstance(g, DTensor)]
    if whole:
        square = square + torch.nn.utils.get_total_norm(whole).square()
    return square.sqrt()


@torch.no_grad()
def clip_gradients(gradients: Sequence[Tensor], limit: float, by: str = "norm") -> None:
    """Scales gradients so that their norm is at most `limit`, or cuts each number at it where `by` is "value"."""
    if by == "value":
        for gradient in gradients:
            local_shard(gradient).clamp_(-limit, limit)
        return
    factor = (limit / (gradient_norm(gradients) + 1e-6)).clamp(max=1)  # as torch's own
    for gradient in gradients:
        local_shard(gradient).mul_(factor)


@contextmanager
def unsharded(language: nn.Module | None) -> Iterator[None]:
    """While it lasts every process holds all weights of a sharded model, as plain tensors; others are left alone.

    Every process must enter. The weights are of the precision that the model computes in.
    """
    if not is_sharded(language):
        yield
        return
    groups = [module for module in language.modules() if isinstance(module, FSDPModule)]
    language._get_fsdp_state()._lazy_init()  # a layer that ran first would take itself for the root
    language.set_reshard_after_forward(False)  # what draws holds on to the weights
    try:
        for group in groups:
            group.unshard()
        yield
    finally:
        for group in groups:
            group.reshard()
            group.set_reshard_after_forward(group is not language, recurse=False)


def full_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """All weights of a sharded model in the precision they are kept in, on the first process's CPU; nothing elsewhere.

    Every process must call it.
    """
    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
