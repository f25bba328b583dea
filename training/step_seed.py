"""Random numbers that depend on the position in training, and on nothing that came before.

Every step draws from a state that follows from (seed, rank, epoch, batch), so no checkpoint has to hold a generator's
state, and neither a resume nor a validation in between changes what the following steps draw.
"""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

EPOCH_START = 2**32 - 1
VALIDATION = 2**31  # added to the batch that validation follows


class StepSeed(Callback):
    """Seeds torch, numpy and random before each training batch and validation, and before each epoch's order is drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that resumes within an epoch never gets that epoch's on_train_epoch_start.
        self._seed(trainer, EPOCH_START)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seed(trainer, EPOCH_START)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._seed(trainer, batch_idx)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._seed(trainer, VALIDATION + trainer.fit_loop.batch_idx)

    def _seed(self, trainer: Trainer, position: int) -> None:
        # At the start of an epoch all ranks must draw the same order; within it each has noise of its own.
        rank = 0 if position == EPOCH_START else trainer.global_rank
        sequence = np.random.SeedSequence([self.seed, rank, trainer.current_epoch, position])
        value = int(sequence.generate_state(1, np.uint32)[0])
        torch.manual_seed(value)
        np.random.seed(value)
        random.seed(value)
