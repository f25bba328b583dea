"""Speed and memory at logged steps: `speed/tokens_per_s`, `speed/steps_per_s`, `speed/mfu` and `memory/peak`."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from training.csv_logger import is_logged
from training.device_stats import reset_peak_memory, peak_memory, stated_flops_per_second, wait_for
from training.flop_counter import FlopCounter
from training.throughput import Throughput


class Speed(Callback):
    """Measures between two logged steps; validation and evaluation are no part of it.

    `speed/mfu` is the share of the device's peak that the matrix work of training uses (arXiv 2204.02311, appendix B).
    That work is not estimated from a parameter count, which would be wrong for frozen parts, convolutions and images:
    it is counted, forward and backward, in the very steps that are timed, for batches differ. What is made again in the
    backward pass, and the optimizer's own products, are left out. The device has done its work when the time is taken.

    Args:
        peak_tflops: of the device, in 10^12 operations a second, as its maker states it. None: of the GPUs and NPUs that
            are known here, in the run's precision; of others, and CPUs, it is unknown, and there is no `speed/mfu`, as
            with 0.

    Raises:
        ValueError: the peak is negative.
    """

    def __init__(self, peak_tflops: float | None = None) -> None:
        if peak_tflops is not None and peak_tflops < 0:
            raise ValueError(f"speed.peak_tflops is at least 0, not {peak_tflops}")
        self.peak = None if peak_tflops is None else peak_tflops * 1e12
        self.pace = Throughput()
        self.flops = 0  # since the pace began again, on this rank
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

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        if self.peak:
            self.counter = FlopCounter()
            self.counter.__enter__()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._stop_counting()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop_counting()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._stop_counting()  # of a batch that ends no step
        self.pace.add(trainer, pl_module, batch)
        if is_logged(trainer, done=True) and trainer.global_step > self.pace.step:
            wait_for(pl_module.device)
            pl_module.log_dict(self._metrics(trainer, pl_module))
            self._restart(trainer, pl_module)

    def _restart(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wait_for(pl_module.device)  # what is not done by now would be done in no time
        self.pace.restart(trainer.global_step)
        self.flops = 0

    def _metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        done = trainer.global_step - self.pace.step
        steps, items = self.pace.per_second(trainer.global_step)
        about = torch.tensor([items / trainer.world_size, peak_memory(pl_module.device)]).to(pl_module.device)
        reduce = trainer.strategy.reduce  # of all ranks, which come here at the same steps
        items = float(reduce(about.clone(), reduce_op="sum")[0])
        metrics = {"speed/steps_per_s": steps, "memory/peak": float(reduce(about, reduce_op="max")[1])}
        if items:
            metrics[f"speed/{getattr(pl_module, 'items_name', 'items')}_per_s"] = items
        if self.flops and self.peak:
            metrics["speed/mfu"] = self.flops / done * steps / self.peak
        return metrics

    def _stop_counting(self) -> None:
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
            self.flops += self.counter.operations
            self.counter = None
