"""Checkpoints for resuming a run that was cut off, at whatever instant that was.

A checkpoint is written at the end of a step, but becomes `last.ckpt` only when the next step begins: by then the step's
metrics, its validation and the end of its epoch are on record, and a resume misses none of them.
"""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch.distributed.checkpoint import CheckpointException

from common.disk import free_bytes, gigabytes
from common.files import atomic_replace, remove, remove_scratch, scratch_path
from common.signals import Stopped
from training.divergence import DivergenceGuard
from training.fit_loop import ResumableFitLoop, ends_with_step, has_pending_validation, request_validation
from training.graceful_stop import GracefulStop, Phase
from training.parallel.sharded_checkpoint import first_failure
from training.resume_point import LAST, PREVIOUS

MOMENTS = 2  # that AdamW keeps of each trainable parameter; Muon keeps one
MAX_AT_ONCE = 3  # the last checkpoint, the one before, and the one that is being written


class StreamedCheckpointIO(TorchCheckpointIO):
    """Writes straight to the path it is given: Lightning's own makes copies in memory and in /tmp."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes the file; `ResumeCheckpoint` syncs and renames it."""
        with open(path, "wb") as file:
            torch.save(checkpoint, file)


class ResumeCheckpoint(Checkpoint):
    """Keeps checkpoints/last.ckpt, and the one before as previous.ckpt, in the run's folder.

    Being a `Checkpoint`, it is called after all other callbacks, whose state it therefore holds. It saves
    every `every_n_steps` optimizer steps, when training ends, and where `GracefulStop` ends the run.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ValueError(f"checkpoint.every_n_steps must be 1 or more, not {every_n_steps}")
        self.every_n_steps = every_n_steps
        self.folder = Path()
        self.saved_step = 0
        self.is_pending = False  # whether what was written last is yet to become last.ckpt
        self.stop, self.divergence = GracefulStop(), DivergenceGuard()  # the run's own, from `setup` on
        self._epoch_is_over = False  # as of the checkpoint that is written, or was read
        self._loaded_states: dict[str, int] = {}  # how many of each kind the checkpoint held that was read
        self._has_unfinished = (
            False  # whether a validation, or the end of training, is to be repeated on resuming
        )
        self._scratch = Path()  # of the first process, into which all of them write
        self._counted_steps = 0  # as of the checkpoint that is being written
        self._loaded_steps: int | None = None  # as of the checkpoint that was read, until the next batch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        for callback in trainer.callbacks:
            if isinstance(callback, GracefulStop):
                self.stop = callback
            elif isinstance(callback, DivergenceGuard):
                self.divergence = callback
        self.stop.is_saved = lambda: self.saved_step == trainer.global_step and not self.is_pending
        if type(trainer.strategy._checkpoint_io) in (
            type(None),
            TorchCheckpointIO,
        ):  # not a config's own plugin
            trainer.strategy.checkpoint_io = StreamedCheckpointIO()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fast_dev_run:
            check_disk_space(trainer, pl_module, self.folder, self.every_n_steps)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_states(trainer)
        self._mark_saved(trainer)

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if self._loaded_steps is not None:  # Lightning counts one too many after a save at an epoch's end
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._loaded_steps
            self._loaded_steps = None
        self._epoch_is_over = False
        self._commit(trainer, leave=self.stop.is_due)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if not trainer.is_last_batch:
            # this step is counted after this hook, if it was an optimizer's
            loop = trainer.fit_loop.epoch_loop
            steps = loop._batches_that_stepped + (not loop._should_accumulate())
            self._write_if_due(trainer, steps, self.stop.is_due and ends_with_step(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop.val_loop
        if has_pending_validation(loop):  # of a checkpoint; it has begun now, and is counted anew
            loop.batch_progress.total.reset()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.end_validation()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_is_over = False
        if self.stop.is_due:
            self._commit(trainer, leave=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_is_over = True
        self._write_if_due(trainer, now=self.stop.is_due)

    def save_now(self, trainer: Trainer, steps: int | None = None) -> None:
        """Saves at once, as at the end of an epoch before what may take long; a resume begins with the next epoch."""
        self._write(trainer, steps)
        self._commit(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.snapshot(trainer)
        self.save_now(trainer)
        self.stop.phase = Phase.OVER

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Stopped) and self.stop.phase in (Phase.VALIDATION, Phase.END):
            loop, in_validation = trainer.fit_loop.epoch_loop, self.stop.phase == Phase.VALIDATION
            if in_validation:
                request_validation(loop.val_loop)
            self._has_unfinished = True
            self.save_now(trainer, loop._batches_that_stepped + in_validation)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # config.yaml is the record of the settings; here they may be objects that a safe load refuses.
        for key in [key for key in checkpoint if "hparams" in key or "hyper_parameters" in key]:
            del checkpoint[key]
        if self._has_unfinished:  # what the others did meanwhile is repeated
            checkpoint["callbacks"] |= self.stop.states

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        kinds = ("optimizer_states", "lr_schedulers")
        self._loaded_states = {kind: len(checkpoint[kind]) for kind in kinds if kind in checkpoint}

    def _check_states(self, trainer: Trainer) -> None:
        """Lightning passes over what a checkpoint has no state of; it would begin anew without a word."""
        own = {
            "optimizer_states": len(trainer.optimizers),
            "lr_schedulers": len(trainer.lr_scheduler_configs),
        }
        missing = [kind for kind, count in self._loaded_states.items() if count != own[kind]]
        if missing:
            raise ValueError(
                f"{trainer.ckpt_path} does not hold what this run saves ({', '.join(missing)}): move it away, and the "
                "same command goes on from what is left, or anew"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._counted_steps, "epoch_is_over": self._epoch_is_over}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded_steps, self._epoch_is_over = state_dict["steps"], state_dict["epoch_is_over"]

    def _write_if_due(self, trainer: Trainer, steps: int | None = None, now: bool = False) -> None:
        # Not a remainder: a step of two optimizers counts twice, and would jump over the very number.
        if now or trainer.global_step // self.every_n_steps > self.saved_step // self.every_n_steps:
            self._write(trainer, steps)

    def _write(self, trainer: Trainer, steps: int | None = None) -> None:
        """Writes a checkpoint beside its target.

        Args:
            trainer: of the run.
            steps: logged so far; None: as the epoch loop counts.
        """
        if trainer.fast_dev_run:
            return
        if self._loaded_steps is not None:  # no step was taken since the run was resumed
            steps = self._loaded_steps
        self._counted_steps = trainer.fit_loop.epoch_loop._batches_that_stepped if steps is None else steps
        self.divergence.check(trainer, trainer.lightning_module)
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch = trainer.strategy.broadcast(scratch_path(self.folder / LAST))
        if trainer.is_global_zero:
            remove_scratch(self.folder / LAST)  # of a killed run, on whatever machine: it may fill the disk
        trainer.strategy.barrier("scratch is empty")
        try:
            trainer.save_checkpoint(scratch, weights_only=False)
        except BaseException as error:  # torch makes a RuntimeError of a full disk
            if trainer.is_global_zero:
                remove(scratch)  # half a checkpoint would only keep the disk full
            if isinstance(error, CheckpointException):  # the error of any process, reported by all
                raise first_failure(error) from error
            raise
        self._check_states(trainer)
        self._mark_saved(trainer)
        self.is_pending = True

    def _mark_saved(self, trainer: Trainer) -> None:
        self.saved_step = trainer.global_step
        self.divergence.saved_step = self.saved_step or None
        if isinstance(trainer.fit_loop, ResumableFitLoop):
            trainer.fit_loop.epoch_is_over = self._epoch_is_over

    def _commit(self, trainer: Trainer, leave: bool = False) -> None:
        """Makes what was written the last checkpoint, and stops the run there if that is due."""
        if not self.is_pending:
            return
        self.is_pending = False
        if trainer.is_global_zero:
            last, previous = self.folder / LAST, self.folder / PREVIOUS
            if last.exists():
                atomic_replace(last, previous)
            atomic_replace(self._scratch, last)
        self.divergence.saved_step = self.saved_step
        trainer.strategy.barrier("checkpoint is in place")
        if leave:
            self.stop.leave()


def check_disk_space(trainer: Trainer, module: LightningModule, folder: Path, every_n_steps: int) -> None:
    """Makes sure, before training, that a run's checkpoints fit on the disk.

    Raises:
        ValueError: they do not.
    """
    size = checkpoint_bytes(module)
    steps = trainer.estimated_stepping_batches
    planned = MAX_AT_ONCE if math.isinf(steps) else int(steps) // every_n_steps + 1
    existing = len(list(folder.glob("*.ckpt")))
    needed = (min(MAX_AT_ONCE, existing + planned) - min(MAX_AT_ONCE, existing)) * size
    free = free_bytes(folder)
    if free < needed:
        raise ValueError(
            f"{folder}: a checkpoint takes {gigabytes(size)}, up to {MAX_AT_ONCE} are kept at once, and the disk has "
            f"{gigabytes(free)} free: make room, or give --runs_dir on a larger disk"
        )


def checkpoint_bytes(module: LightningModule) -> int:
    """About the bytes of a checkpoint: weights, and the moments of trainable ones; of sharded ones, all shards."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    trainable = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    return weights + MOMENTS * trainable
