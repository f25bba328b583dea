"""Speed and memory at logged steps: `speed/tokens_per_s`, `speed/steps_per_s`, `speed/mfu` and `memory/peak`."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.csv_logger import is_logged
from callbacks.device_rate import forget_peak_memory, matrix_rate, peak_memory, precision_of
from callbacks.matrix_work import MatrixWork
from callbacks.pace import Pace


class Speed(Callback):
    """Measures between two logged steps; validation, evaluation and a counted step are no part of it.

    Items are of all ranks, and memory is that of the rank that took most.

    `speed/mfu` is the share of the device's peak that the matrix work of training uses (arXiv 2204.02311, appendix B).
    That work is not estimated from a parameter count, which would be wrong for frozen parts, convolutions and images:
    it is counted, forward and backward, on one step at the beginning and one after each validation, for stages change
    what they train. The optimizer's own products are left out.

    Args:
        peak_tflops: of the device, in 10^12 operations a second, as its maker states it. None: it is measured as training
            begins, by one large product of matrices in the run's precision: CPUs have no stated figure, and other cards
            reach another share of theirs. 0: nothing is counted, and there is no `speed/mfu`.

    Raises:
        ValueError: the peak is negative.
    """

    def __init__(self, peak_tflops: float | None = None) -> None:
        if peak_tflops is not None and peak_tflops < 0:
            raise ValueError(f"speed.peak_tflops is at least 0, not {peak_tflops}")
        self.peak = None if peak_tflops is None else peak_tflops * 1e12
        self.pace = Pace()
        self.flops = 0  # of one optimizer step, on this rank
        self.wanted, self.counted = True, False
        self.counter: MatrixWork | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.peak is None:
            self.peak = matrix_rate(pl_module.device, precision_of(str(trainer.precision)))
        forget_peak_memory(pl_module.device)
        self.pace.restart(trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pace.restart(trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.wanted = True
        self.pace.restart(trainer.global_step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        if self.wanted and self.peak:
            self.wanted, self.counted = False, True
            self.counter = MatrixWork()
            self.counter.__enter__()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.counter is not None:
            self.flops = self.counter.operations
            self._stop_counting()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop_counting()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if self.counter is not None:  # a step of several batches, of which more are to come
            return
        if self.counted:
            self.counted = False
            self.pace.restart(trainer.global_step)
            return
        self.pace.add(trainer, pl_module, batch)
        if is_logged(trainer, done=True) and trainer.global_step > self.pace.step:
            pl_module.log_dict(self._metrics(trainer, pl_module))
            self.pace.restart(trainer.global_step)

    def _metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        steps, items = self.pace.per_second(trainer.global_step)
        about = torch.tensor([items / trainer.world_size, peak_memory(pl_module.device)]).to(pl_module.device)
        reduce = trainer.strategy.reduce  # of all ranks, which come here at the same steps
        items = float(reduce(about.clone(), reduce_op="sum")[0])
        metrics = {"speed/steps_per_s": steps, "memory/peak": float(reduce(about, reduce_op="max")[1])}
        if items:
            metrics[f"speed/{getattr(pl_module, 'items_name', 'items')}_per_s"] = items
        if self.flops and self.peak:
            metrics["speed/mfu"] = self.flops * steps / self.peak
        return metrics

    def _stop_counting(self) -> None:
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
            self.counter = None
