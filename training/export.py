"""Ends a stage with a model folder: what is shared, evaluated, and what the next stage starts from."""

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer

from common.files import atomic, remove_scratch
from training.divergence import DivergenceGuard

if TYPE_CHECKING:  # it imports transformers' models, which takes seconds
    from lightning_modules.stage_module import StageModule


class ExportModelFolder(Callback):
    """Has the module write its model folder, which becomes the run's `model/` only when it is whole."""

    def __init__(self) -> None:
        self.exported = False

    def on_train_end(self, trainer: Trainer, pl_module: "StageModule") -> None:
        self._export(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: "StageModule") -> None:
        # A run cut off after its last step resumes with nothing to train: on_train_end does not come.
        if not self.exported:
            self._export(trainer, pl_module)

    def _export(self, trainer: Trainer, pl_module: "StageModule") -> None:
        self.exported = True
        if trainer.fast_dev_run:
            return
        for callback in trainer.callbacks:
            if isinstance(callback, DivergenceGuard):
                callback.check(trainer, pl_module)
        pl_module.gather()
        if trainer.is_global_zero:
            target = Path(trainer.default_root_dir) / "model"
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_scratch(target)  # of a killed run, on whatever machine
            with atomic(target) as scratch:
                scratch.mkdir()
                pl_module.export(scratch)
        trainer.strategy.barrier("model folder is in place")
