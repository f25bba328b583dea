"""Learning rates at logged steps, as `lr/<param_group>`."""

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from training.csv_logger import is_logged

log = logging.getLogger(__name__)


class LearningRates(Callback):
    """Logs the rate that each named group of parameters takes the step with; 0 for those that do not take part in it.

    A run whose end is not known, as of `trainer.max_time` alone, is told at the start that its schedule has none.

    Groups of one name have one rate. The rates are the host's own numbers: nothing waits for the device.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.lr_scheduler_configs and trainer.estimated_stepping_batches in (-1, float("inf")):
            log.warning(
                "the run has no end that is known (neither trainer.max_steps, nor trainer.max_epochs over data of known "
                "length): after warm-up the learning rate stays where it is"
            )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if is_logged(trainer):
            others = (one for one in trainer.optimizers if one is not optimizer)
            rates = {name: 0.0 for one in others for name in learning_rates(one)}
            pl_module.log_dict(
                {f"lr/{name}": rate for name, rate in (rates | learning_rates(optimizer)).items()}
            )


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rate of each group by its name."""
    return {group.get("name", f"group_{i}"): group["lr"] for i, group in enumerate(optimizer.param_groups)}
