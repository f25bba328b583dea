"""What one micro-batch takes, measured on hollow tensors with one layer and with two, and drawn out to all of them."""

from contextlib import ExitStack, nullcontext

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from training.plan.fake_tensors import all_kept, cut, hollow, stacks_in
from training.plan.meter import BACKWARD, Meter, Used, autocast_of_gpus
from training.plan.samples import Load
from training.plan.steps import Phase

HALVES = {"bf16": torch.bfloat16, "16": torch.float16}


def compute_types(module: LightningModule, precision: str, sharded: set[int]) -> dict[int, torch.dtype]:
    """Types of the parameters that are computed in another precision than they are kept in, by id.

    Args:
        module: configured.
        precision: as Lightning calls it.
        sharded: ids of what FSDP2 gathers, in half precision where products are.
    """
    half = HALVES.get(precision.partition("-")[0])
    if half is None:
        return {}
    return dict.fromkeys(sharded, half)


def measure(
    module: LightningModule,
    phase: Phase,
    load: Load,
    precision: str,
    dtypes: dict[int, torch.dtype],
    checkpointing: bool = True,
) -> Used:
    """What a micro-batch takes of one device.

    Args:
        module: configured on the meta device.
        phase: of the run.
        load: of the micro-batch.
        precision: as Lightning calls it.
        dtypes: as `compute_types` gives them.
        checkpointing: whether layers make their activations again where they are set to.
    """
    groups = stacks_in(module)
    with nullcontext() if checkpointing else all_kept(module):
        first = _run(module, phase, load, precision, dtypes, [1] * len(groups))
        total = first
        for place, group in enumerate(groups):
            layers = [1 + (number == place) for number in range(len(groups))]
            more = _run(module, phase, load, precision, dtypes, layers).plus(first, -1)
            total = total.plus(more, len(group[0]) - 1)
    return total


def _run(
    module: LightningModule,
    phase: Phase,
    load: Load,
    precision: str,
    dtypes: dict[int, torch.dtype],
    layers: list[int],
) -> Used:
    kind, _, how = precision.partition("-")
    with ExitStack() as stack:
        for group, number in zip(stacks_in(module), layers, strict=True):
            stack.enter_context(cut(group, number))
        tensors = stack.enter_context(hollow(module, dtypes))
        meter = Meter(tensors)
        learning = [tensor for tensor in tensors if tensor.requires_grad]
        for parameter in learning:
            parameter.register_post_accumulate_grad_hook(lambda p: meter.leave_out(p.grad))
        mixed = torch.autocast("cpu", HALVES[kind]) if how == "mixed" else nullcontext()
        stack.enter_context(autocast_of_gpus() if how == "mixed" else nullcontext())
        with meter:
            with mixed:
                loss = phase.loss(load)
            kept, forward, meter.time = meter.live, meter.operations, BACKWARD
            loss.backward()
        del loss
        for parameter in learning:
            parameter.grad = None
        backward = meter.operations - forward
        return Used(kept, tuple(meter.peaks), tuple(meter.copied), forward, backward, meter.single)


def bytes_of(tensors: list[Tensor]) -> float:
    """Memory of tensors as they are kept."""
    return float(sum(t.numel() * t.itemsize for t in tensors))
