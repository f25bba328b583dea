"""Scores during training: when they are measured, and how they are logged."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from training.csv_logger import last_step


class PeriodicScores(Callback, ABC):
    """Logs what `scores` measures, at the end of every n-th epoch and of the training.

    All ranks measure alike, so that sharded models work and none waits for another.

    Args:
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to measure when training ends, if the last epoch did not.
    """

    def __init__(self, every_n_epochs: int = 1, at_end: bool = True) -> None:
        if every_n_epochs < 0:
            raise ValueError(f"every_n_epochs is at least 0, not {every_n_epochs}")
        self.every_n_epochs, self.at_end = every_n_epochs, at_end
        self.last_step = -1

    @abstractmethod
    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The metrics to log, by their full names; none where the stage's model can do nothing yet."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.at_end:
            self._measure(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run cut off after its last step resumes with nothing to train: on_train_end does not come.
        self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self.last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_step = state_dict["last_step"]

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.last_step or trainer.fast_dev_run:
            return
        metrics = self.scores(pl_module)
        if not metrics:
            return
        self.last_step = trainer.global_step
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in metrics.items()})
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=last_step(trainer))
