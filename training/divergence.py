"""Ends a run whose numbers have become infinite or no numbers at all, before a checkpoint or a model holds them.

Losses are looked at where they lie: a flag on the device is copied to the host beside the next step, and read when it is
there. Weights, statistics and moments are looked at before each checkpoint, and before the model is exported.
"""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from common.errors import DIVERGED
from models.sharding import local
from training.parallel.rank_max import RankMax, PendingMax

NEVER = -1


class DivergenceError(ValueError):
    """Training has come to numbers that are infinite or none."""


class DivergenceGuard(Callback):
    """Stops after the first loss that is no finite number, all processes together.

    On a CPU that is at the very step, on other devices one later, and one more where there are several processes. A step
    of which only the weights became so is found by the next one's loss, or before anything is written.

    Args:
        agreement: with the other processes.
    """

    def __init__(self, agreement: RankMax | None = None) -> None:
        self.agreement = agreement or RankMax()
        self.kept: int | None = None  # step of the last checkpoint
        self._answer: PendingMax | None = None
        self._first = torch.tensor(NEVER)  # step of the first loss that is not finite, on the device
        self._copy: Tensor | None = None  # of it, on the host
        self._copied: torch.Event | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.agreement.open(trainer)
        device = pl_module.device
        self._first = torch.tensor(NEVER, device=device)
        self._copy = None if device.type == "cpu" else torch.tensor(NEVER).pin_memory()
        self._copied = None if device.type == "cpu" else torch.Event(device)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if not pl_module.automatic_optimization:  # no other hook is told of this loss
            self._look(trainer, loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if isinstance(outputs, dict) and isinstance(outputs.get("loss"), Tensor):
            self._look(trainer, outputs["loss"])
        first = self._from_device()
        if not self.agreement.alone:
            asked, self._answer = self._answer, self.agreement.ask(first)
            first = NEVER if asked is None else int(asked.get())
        if first != NEVER:
            raise DivergenceError(self._line(f"the loss is no finite number at step {first}"))

    def _look(self, trainer: Trainer, loss: Tensor) -> None:
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # as metrics.csv counts
        self._first.masked_fill_(~torch.isfinite(loss.detach()).all() & (self._first == NEVER), step)

    def _from_device(self) -> int:
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
        self._raise_together(", ".join(bad), trainer)

    def check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at all that a checkpoint or a model folder would hold; every process must come.

        Raises:
            DivergenceError: some of it is not finite.
        """
        self._raise_together(first_non_finite(pl_module, trainer.optimizers), trainer)

    def _raise_together(self, bad: str, trainer: Trainer) -> None:
        if self.agreement.largest(bool(bad)):
            what = bad or "what another process holds"
            raise DivergenceError(self._line(f"{what} is no finite number after {trainer.global_step} steps"))

    def _line(self, what: str) -> str:
        kept = (
            f"the checkpoint after {self.kept} steps is kept"
            if self.kept
            else "no checkpoint was saved before"
        )
        return (
            f"{DIVERGED}: {what}, and none of it is saved or exported ({kept}); start a run of another --name with a "
            "lower learning rate, a longer warm-up or trainer.gradient_clip_val, or look at what was read there"
        )


def is_validation_loss(name: str) -> bool:
    """Whether a metric is a loss that validation logs; shares of an entropy are 0 / 0 where a codebook is one code."""
    return name.startswith("val") and "loss" in name and "share" not in name


@torch.no_grad()
def first_non_finite(module: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> str:
    """The first of a module's learned weights, saved statistics and moments that is not finite; empty: all are.

    Of statistics only what is no number counts: masks are infinite by intention. Waits for the device once.
    """
    saved = module.state_dict(keep_vars=True).keys()
    fine = {n: torch.isfinite(local(p)).all() for n, p in module.named_parameters() if p.requires_grad}
    for name, buffer in module.named_buffers():
        if name in saved and buffer.is_floating_point():
            fine[name] = ~torch.isnan(local(buffer)).any()
    for optimizer in optimizers:
        for parameter, moments in _states(optimizer):
            for name, moment in moments.items():
                if isinstance(moment, Tensor) and moment.device == parameter.device:
                    fine[f"the optimizer's {name} ({len(fine)})"] = torch.isfinite(local(moment)).all()
    if not fine:
        return ""
    device = next(iter(fine.values())).device
    found = torch.stack([flag.to(device) for flag in fine.values()]).tolist()
    return next((name for name, is_fine in zip(fine, found, strict=True) if not is_fine), "")


def _states(optimizer: torch.optim.Optimizer) -> Iterable[tuple[Tensor, dict[str, Any]]]:
    for one in getattr(optimizer, "optimizers", [optimizer]):  # several that step as one
        yield from one.state.items()
