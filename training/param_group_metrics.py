"""Parameter groups of the optimizer: their table at the start, gradient norms and learning rates at logged steps."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from models.sharding import gradient_norm
from training.csv_logger import is_logged

if TYPE_CHECKING:  # it imports transformers' models, which takes seconds
    from lightning_modules.stage_module import StageModule

log = logging.getLogger(__name__)


class ParamGroupMetrics(Callback):
    """Prints the table of parameter groups, and logs `grad_norm/<group>`, `grad_norm/all` and `lr/<group>`.

    Norms are taken before clipping. Groups of an optimizer that does not take the step have a rate of 0.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for line in parameter_table(trainer.optimizers, pl_module):
            trainer.print(line)
        if trainer.lr_scheduler_configs and trainer.estimated_stepping_batches in (-1, float("inf")):
            log.warning(
                "the run has no end that is known (neither trainer.max_steps, nor trainer.max_epochs over data of known "
                "length): after warm-up the learning rate stays where it is"
            )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: "StageModule", optimizer: Optimizer
    ) -> None:
        if not is_logged(trainer):
            return
        scale = pl_module.gradient_factor()
        pl_module.log_dict({name: norm * scale for name, norm in gradient_norms(optimizer).items()})
        rates = {f"lr/{name}": 0.0 for other in trainer.optimizers for name, _ in named_groups(other)}
        pl_module.log_dict(rates | {f"lr/{name}": group["lr"] for name, group in named_groups(optimizer)})


def named_groups(optimizer: Optimizer) -> Iterator[tuple[str, dict]]:
    """Each parameter group with its name; several groups may share one, as those with and without weight decay do."""
    for number, group in enumerate(optimizer.param_groups):
        yield group.get("name", f"group_{number}"), group


def gradient_norms(optimizer: Optimizer) -> dict[str, Tensor]:
    """`grad_norm/<group>` by name, and `grad_norm/all`; all on the device."""
    gradients: dict[str, list[Tensor]] = defaultdict(list)
    for name, group in named_groups(optimizer):
        gradients[name] += [p.grad for p in group["params"] if p.grad is not None]
    norms = {f"grad_norm/{name}": gradient_norm(found) for name, found in gradients.items() if found}
    if norms:
        norms["grad_norm/all"] = torch.stack(list(norms.values())).norm()
    return norms


def parameter_table(optimizers: list[Optimizer], module: torch.nn.Module) -> list[str]:
    """Lines with the trainable parameters and the learning rate of each group, and how many are frozen.

    The rate is the one that the schedule starts from, not that of the first step of a warm-up.
    """
    counts: dict[tuple[str, float], int] = defaultdict(int)
    for optimizer in optimizers:
        for name, group in named_groups(optimizer):
            key = (name, float(group.get("initial_lr", group["lr"])))
            counts[key] += sum(p.numel() for p in group["params"] if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    rows = [("component", "parameters", "learning rate")]
    rows += [(name, f"{count:,}", f"{rate:.2e}") for (name, rate), count in counts.items()]
    rows.append(("frozen", f"{frozen:,}", ""))
    width = max(len(name) for name, _, _ in rows)
    return [f"{name:<{width}}  {count:>15}  {rate:>13}".rstrip() for name, count, rate in rows]
