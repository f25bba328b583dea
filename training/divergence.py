"""Ends a run whose numbers have become infinite or NaN, before a checkpoint or a model holds them.

Losses are checked where they are computed: a flag on the device is copied to the host beside the next step, and read once
it has arrived. Weights, statistics and moments are checked before each checkpoint, and before the model is exported.
"""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from common.errors import DIVERGED
from models.sharding import local_shard
from training.parallel.rank_max import PendingMax, RankMax

NEVER = -1


class DivergenceError(ValueError):
    """Training has come to numbers that are infinite or NaN."""


class DivergenceGuard(Callback):
    """Stops after the first loss that is not finite, all processes together.

    On a CPU that is at the very step, on other devices one later, and one more where there are several processes. A step
    of which only the weights became so is found by the next one's loss, or before anything is written.

    Args:
        rank_max: over the processes.
    """

    def __init__(self, rank_max: RankMax | None = None) -> None:
        self.rank_max = rank_max or RankMax()
        self.saved_step: int | None = None  # of the last checkpoint
        self._pending: PendingMax | None = None
        self._first = torch.tensor(NEVER)  # step of the first loss that is not finite, on the device
        self._copy: Tensor | None = None  # of it, on the host
        self._copied: torch.Event | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rank_max.open(trainer)
        device = pl_module.device
        self._first = torch.tensor(NEVER, device=device)
        self._copy = None if device.type == "cpu" else torch.tensor(NEVER).pin_memory()
        self._copied = None if device.type == "cpu" else torch.Event(device)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if not pl_module.automatic_optimization:  # no other hook gets this loss
            self._check_loss(trainer, loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any
    ) -> None:
        if isinstance(outputs, dict) and isinstance(outputs.get("loss"), Tensor):
            self._check_loss(trainer, outputs["loss"])
        first = self._read_flag()
        if not self.rank_max.is_single_process:
            pending, self._pending = self._pending, self.rank_max.start(first)
            first = NEVER if pending is None else int(pending.wait())
        if first != NEVER:
            raise DivergenceError(self._message(f"the loss is not a finite number at step {first}"))

    def _check_loss(self, trainer: Trainer, loss: Tensor) -> None:
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # as metrics.csv counts
        self._first.masked_fill_(~torch.isfinite(loss.detach()).all() & (self._first == NEVER), step)

    def _read_flag(self) -> int:
        """The flag; of another device than the CPU, as it was a step ago."""
        if self._copy is None or self._copied is None:
            return int(self._first)
        self._copied.synchronize()
        found = int(self._copy)
        self._copy.copy_(self._first, non_blocking=True)
        self._copied.record()
        return found

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        losses = {name: value for name, value in trainer.callback_metrics.items() if is_validation_loss(name)}
        bad = [name for name, value in losses.items() if not torch.isfinite(torch.as_tensor(value)).all()]
        self._raise_on_all(", ".join(bad), trainer)

    def check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks all that a checkpoint or a model folder would hold; every process must call it.

        Raises:
            DivergenceError: some of it is not finite.
        """
        self._raise_on_all(first_non_finite(pl_module, trainer.optimizers), trainer)

    def _raise_on_all(self, bad: str, trainer: Trainer) -> None:
        if self.rank_max.reduce(bool(bad)):
            what = bad or "what another process holds"
            raise DivergenceError(
                self._message(f"{what} is not a finite number after {trainer.global_step} steps")
            )

    def _message(self, what: str) -> str:
        kept = "no checkpoint was saved before"
        if self.saved_step:
            kept = f"the checkpoint after {self.saved_step} steps is kept"
        return (
            f"{DIVERGED}: {what}, and none of it is saved or exported ({kept}); start a run of another --name with a "
            "lower learning rate, a longer warm-up or trainer.gradient_clip_val, or look at what was read there"
        )


def is_validation_loss(name: str) -> bool:
    """Whether a metric is a loss that validation logs; shares of an entropy are 0 / 0 where a codebook is one code."""
    return name.startswith("val") and "loss" in name and "share" not in name


@torch.no_grad()
def first_non_finite(module: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> str:
    """The name of the first trainable weight, saved statistic or moment that is not finite; empty: all are.

    Of statistics only NaN counts: masks are infinite by intention. Waits for the device once.
    """
    saved = module.state_dict(keep_vars=True).keys()
    fine = {n: torch.isfinite(local_shard(p)).all() for n, p in module.named_parameters() if p.requires_grad}
    for name, buffer in module.named_buffers():
        if name in saved and buffer.is_floating_point():
            fine[name] = ~torch.isnan(local_shard(buffer)).any()
    for optimizer in optimizers:
        for one in getattr(optimizer, "optimizers", [optimizer]):  # several that step as one
            for parameter, moments in one.state.items():
                for name, moment in moments.items():
                    if isinstance(moment, Tensor) and moment.device == parameter.device:
                        fine[f"the optimizer's {name} ({len(fine)})"] = torch.isfinite(
                            local_shard(moment)
                        ).all()
    if not fine:
        return ""
    device = next(iter(fine.values())).device
    flags = torch.stack([flag.to(device) for flag in fine.values()]).tolist()
    return next((name for name, is_fine in zip(fine, flags, strict=True) if not is_fine), "")
