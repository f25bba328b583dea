"""What one micro-batch takes, measured on fake tensors with one layer and with two, and extrapolated to all of them."""

from contextlib import ExitStack, nullcontext
from typing import NamedTuple

import torch

from lightning_modules.stage_module import StageModule
from training.plan.batches import planned_batch
from training.plan.fake_tensors import fake_weights, keep_activations, keep_layers, layer_stacks
from training.plan.meter import BACKWARD, Meter, Usage, autocast_of_gpus
from training.plan.workload import Workload

HALVES = {"bf16": torch.bfloat16, "16": torch.float16}


class Measurement(NamedTuple):
    """Measures micro-batches of a stage, configured on the meta device, by its own `loss`.

    `sharded` are ids of the parameters that FSDP2 gathers, in half precision where products are.
    """

    stage: StageModule
    image_size: int
    precision: str
    sharded: set[int]

    def usage(self, load: Workload, step: int = 0, checkpointing: bool = True) -> Usage:
        """What a micro-batch takes of one device at a step of the run, with checkpointing where it is set, or without."""
        groups, self.stage.trainer.global_step = layer_stacks(self.stage), step
        with nullcontext() if checkpointing else keep_activations(self.stage):
            first = total = self._run(load, [1] * len(groups))
            for index, group in enumerate(groups):
                more = self._run(load, [1 + (other == index) for other in range(len(groups))])
                total = total.plus(more.plus(first, -1), len(group[0]) - 1)
        return total

    def _run(self, load: Workload, layers: list[int]) -> Usage:
        kind, _, how = self.precision.partition("-")
        half, stage = HALVES.get(kind), self.stage
        if stage.model.tokenizer is not None:
            stage.model.tokenizer.eval()  # else its codebook would move by what codes come
        if stage.model.language is not None:
            stage.model.language.backend = "mask"  # of whole rows, whatever the documents
        with ExitStack() as stack:
            stack.enter_context(keep_layers(layer_stacks(stage), layers))
            dtypes = dict.fromkeys(self.sharded, half) if half else {}
            weights = stack.enter_context(fake_weights(stage, dtypes))
            learning = [tensor for tensor in weights if tensor.requires_grad]
            stack.enter_context(autocast_of_gpus() if how == "mixed" else nullcontext())
            meter = stack.enter_context(Meter(weights))
            for parameter in learning:
                parameter.register_post_accumulate_grad_hook(lambda p: meter.leave_out(p.grad))
            with torch.autocast("cpu", half) if how == "mixed" else nullcontext():
                loss, _ = stage.loss(planned_batch(stage, load, self.image_size))
            kept, forward, meter.phase = meter.live, meter.operations, BACKWARD
            loss.backward()
            del loss
            for parameter in learning:
                parameter.grad = None
            backward = meter.operations - forward
            return Usage(kept, tuple(meter.peaks), tuple(meter.copied), forward, backward, meter.float32)
