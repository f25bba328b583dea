"""Speed and memory at logged steps: `speed/tokens_per_s`, `speed/steps_per_s`, `speed/mfu` and `memory/peak`."""

import time
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from training.csv_logger import is_logged
from training.device_stats import peak_memory, reset_peak_memory, stated_flops_per_second, synchronize
from training.flop_counter import FlopCounter

if TYPE_CHECKING:  # it imports transformers' models, which takes seconds
    from lightning_modules.stage_module import StageModule


class Throughput:
    """Steps and items per second since `restart`.

    Items are those of the module's `items_in_batch(batch)`, as many on every rank. A tensor is summed where it is, and
    nobody waits for it before `per_second`.
    """

    def __init__(self) -> None:
        self.since, self.step = 0.0, 0
        self.items: int | Tensor = 0

    def restart(self, step: int) -> None:
        """Begins again at a step."""
        self.since, self.step, self.items = time.monotonic(), step, 0

    def add(self, trainer: Trainer, pl_module: "StageModule", batch: object) -> None:
        """Counts a batch."""
        self.items = self.items + pl_module.items_in_batch(batch) * trainer.world_size

    def seconds(self) -> float:
        """Since the restart."""
        return time.monotonic() - self.since

    def per_second(self, step: int) -> tuple[float, float]:
        """Steps and items since the restart."""
        items = float(self.items)  # waits for the device, and so for the work that is being timed
        elapsed = max(self.seconds(), 1e-9)
        return (step - self.step) / elapsed, items / elapsed


class Speed(Callback):
    """Measures between two logged steps, without validation and evaluation.

    `speed/mfu` is the share of the device's peak that the matrix products of training use (arXiv 2204.02311, appendix B).
    They are not estimated from a parameter count, which would be wrong for frozen components, convolutions and images:
    they are counted, forward and backward, in the very steps that are timed, for batches differ. What the backward pass
    recomputes, and the optimizer's own products, are left out. The device is synchronized before the time is taken.

    Args:
        peak_tflops: of the device, in 10^12 operations per second, as its maker states it. None: of the GPUs that are
            known here, in the run's precision; of others, and CPUs, it is unknown, and there is no `speed/mfu`, as
            with 0.

    Raises:
        ValueError: the peak is negative.
    """

    def __init__(self, peak_tflops: float | None = None) -> None:
        if peak_tflops is not None and peak_tflops < 0:
            raise ValueError(f"speed.peak_tflops is at least 0, not {peak_tflops}")
        self.peak = None if peak_tflops is None else peak_tflops * 1e12
        self.throughput = Throughput()
        self.flops = 0  # since the last restart, on this rank
        self.counter: FlopCounter | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.peak is None:
            self.peak = stated_flops_per_second(pl_module.device, str(trainer.precision))
        reset_peak_memory(pl_module.device)
        self._restart(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart(trainer, pl_module)

    def on_train_batch_start(self, *args: object) -> None:
        if self.peak:
            self.counter = FlopCounter()
            self.counter.__enter__()

    def on_before_optimizer_step(self, *args: object) -> None:
        self._stop_counting()

    def on_exception(self, *args: object) -> None:
        self._stop_counting()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: "StageModule", outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._stop_counting()  # of a batch that ends no step
        self.throughput.add(trainer, pl_module, batch)
        if is_logged(trainer, done=True) and trainer.global_step > self.throughput.step:
            synchronize(pl_module.device)
            pl_module.log_dict(self._metrics(trainer, pl_module))
            self._restart(trainer, pl_module)

    def _restart(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)  # what is not done by now would be done in no time
        self.throughput.restart(trainer.global_step)
        self.flops = 0

    def _metrics(self, trainer: Trainer, pl_module: "StageModule") -> dict[str, float]:
        done = trainer.global_step - self.throughput.step
        steps, items = self.throughput.per_second(trainer.global_step)
        of_rank = torch.tensor([items / trainer.world_size, peak_memory(pl_module.device)]).to(
            pl_module.device
        )
        reduce = trainer.strategy.reduce  # over all ranks, which come here at the same steps
        items = float(reduce(of_rank.clone(), reduce_op="sum")[0])
        metrics = {"speed/steps_per_s": steps, "memory/peak": float(reduce(of_rank, reduce_op="max")[1])}
        if items:
            metrics[f"speed/{pl_module.items_name}_per_s"] = items
        if self.flops and self.peak:
            metrics["speed/mfu"] = self.flops / done * steps / self.peak
        return metrics

    def _stop_counting(self) -> None:
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
            self.flops += self.counter.flops
            self.counter = None
