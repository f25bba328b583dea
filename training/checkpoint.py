"""Checkpoints for resuming a run that was cut off, at whatever instant that was.

A checkpoint is dumped at the end of a step, but becomes `last.ckpt` only when the next step begins: by then
the step's metrics, its validation and the end of its epoch are on record, and a resume misses none of them.
"""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch.distributed.checkpoint import CheckpointException

from common.files import atomic_replace, remove, remove_scratch, scratch_path
from common.signals import Stopped
from training.checkpoint_space import check_disk_space
from training.divergence import DivergenceGuard
from training.fit_loop import ResumableFitLoop, ends_with_step, owe_validation, owes_validation
from training.graceful_stop import GracefulStop, Phase
from training.parallel.sharded_checkpoint import META, first_failure, read_metadata

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
MAX_STEP = 2**53  # beyond it a logger's numbers are not exact


class ResumePoint(NamedTuple):
    """The checkpoint to go on from, how many steps it has done, and what there is to say about the choice."""

    path: Path | None
    step: int
    note: str


def find_resume_point(folder: Path) -> ResumePoint:
    """The newest readable checkpoint in `folder`: last.ckpt, or else previous.ckpt."""
    damaged = []
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder, and a run keeps its checkpoints there: remove it")
    for path in (folder / LAST, folder / PREVIOUS):
        if path.exists():
            step = _readable_step(path)
            if step is not None:
                note = (
                    f"{damaged[0]} is unreadable: going back to {path.name}, step {step}" if damaged else ""
                )
                return ResumePoint(path, step, note)
            damaged.append(str(path))
    if damaged:
        raise ValueError(
            f"no checkpoint can be read ({', '.join(damaged)}): remove {folder} to start the run again"
        )
    return ResumePoint(None, 0, "")


def read_resume_point(path: Path) -> ResumePoint:
    """One checkpoint.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    step = _readable_step(path)
    if step is None:
        raise ValueError(f"{path} cannot be read: it is torn, or no checkpoint")
    return ResumePoint(path, step, "")


def _readable_step(path: Path) -> int | None:
    """The number of steps a checkpoint has done, or None if it is torn, holds a wrong byte, or is something else.

    Of a sharded one, whose shares every process would have to read, only the sizes are looked at.
    """
    file = path / META if path.is_dir() else path
    if not file.is_file():  # opening a pipe would wait for ever
        return None
    try:
        if path.is_dir():
            read_metadata(path)
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                return None
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        step = content["global_step"]
        whole = path.is_dir() or isinstance(
            content["state_dict"], dict
        )  # of a sharded one weights are in the shares
        return step if whole and type(step) is int and 0 <= step < MAX_STEP else None
    except Exception:  # torch raises many kinds for damaged files, and each means: unreadable
        return None


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
        self.pending = False
        self.stop, self.finite = GracefulStop(), DivergenceGuard()  # the run's own, from `setup` on
        self._epoch_is_over = False  # as of the checkpoint that is written, or was read
        self._states: dict[str, int] = {}  # how many of each kind the checkpoint held that was read
        self._owing = False  # whether what is saved has yet to be validated, or to be ended
        self._scratch = Path()  # of the first process, into which all of them write
        self._counted = 0  # optimizer steps as of the checkpoint that is being written
        self.logged: int | None = None  # the step that the next row is logged at, as of a checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        self.stop = next((one for one in trainer.callbacks if isinstance(one, GracefulStop)), self.stop)
        self.finite = next((one for one in trainer.callbacks if isinstance(one, DivergenceGuard)), self.finite)
        self.stop.is_saved = lambda: self.saved_step == trainer.global_step and not self.pending
        if type(trainer.strategy._checkpoint_io) in (
            type(None),
            TorchCheckpointIO,
        ):  # leave a chosen plugin alone
            trainer.strategy.checkpoint_io = StreamedCheckpointIO()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fast_dev_run:
            check_disk_space(trainer, pl_module, self.folder, self.every_n_steps)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_states(trainer)
        self.saved_step = trainer.global_step
        self.finite.kept = self.saved_step or None
        if isinstance(trainer.fit_loop, ResumableFitLoop):
            trainer.fit_loop.epoch_is_over = self._epoch_is_over

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.logged is not None:  # Lightning's own count is one too high after a save at an epoch's end
            trainer.fit_loop.epoch_loop._batches_that_stepped, self.logged = self.logged, None
        self._epoch_is_over = False
        self._commit(trainer, leave=self.stop.wanted)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch:
            # this step is counted after this hook, if it was an optimizer's
            loop = trainer.fit_loop.epoch_loop
            counted = loop._batches_that_stepped + (not loop._should_accumulate())
            self._dump_if_due(trainer, counted, self.stop.wanted and ends_with_step(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop.val_loop
        if owes_validation(loop):  # as of a checkpoint; it is under way now, and counted anew
            loop.batch_progress.total.reset()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.end_validation(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_is_over = False
        if self.stop.wanted:
            self._commit(trainer, leave=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_is_over = True
        self._dump_if_due(trainer, now=self.stop.wanted)

    def save_now(self, trainer: Trainer) -> None:
        """Saves at the end of an epoch, before what may take long; a resume begins with the next epoch."""
        self._dump(trainer)
        self._commit(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.note(trainer)
        self._dump(trainer)
        self._commit(trainer)
        self.stop.phase = Phase.OVER

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if not isinstance(exception, Stopped):
            return
        if self.stop.phase in (Phase.VALIDATION, Phase.END):
            if self.stop.phase == Phase.VALIDATION:
                owe_validation(trainer.fit_loop.epoch_loop.val_loop)
            self._owing = True
            self._dump(
                trainer,
                trainer.fit_loop.epoch_loop._batches_that_stepped + (self.stop.phase == Phase.VALIDATION),
            )
            self._commit(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # config.yaml is the record of the settings; here they may be objects that a safe load refuses.
        for key in [key for key in checkpoint if "hparams" in key or "hyper_parameters" in key]:
            del checkpoint[key]
        if self._owing:  # what the others did meanwhile is done again
            checkpoint["callbacks"] |= self.stop.states

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        kinds = ("optimizer_states", "lr_schedulers")
        self._states = {kind: len(checkpoint[kind]) for kind in kinds if kind in checkpoint}

    def _check_states(self, trainer: Trainer) -> None:
        """Lightning passes over what a checkpoint has no state of; it would begin anew without a word."""
        there = {
            "optimizer_states": len(trainer.optimizers),
            "lr_schedulers": len(trainer.lr_scheduler_configs),
        }
        lacking = [kind for kind, count in self._states.items() if count != there[kind]]
        if lacking:
            raise ValueError(
                f"{trainer.ckpt_path} does not hold what this run saves ({', '.join(lacking)}): move it away, and the "
                "same command goes on from what is left, or anew"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"logged": self._counted, "epoch_is_over": self._epoch_is_over}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logged, self._epoch_is_over = state_dict["logged"], state_dict.get("epoch_is_over", False)

    def _dump_if_due(self, trainer: Trainer, counted: int | None = None, now: bool = False) -> None:
        # Not a remainder: a step of two optimizers counts twice, and would jump over the very number.
        if now or trainer.global_step // self.every_n_steps > self.saved_step // self.every_n_steps:
            self._dump(trainer, counted)

    def _dump(self, trainer: Trainer, counted: int | None = None) -> None:
        if trainer.fast_dev_run:
            return
        if self.logged is not None:  # no step was taken since the run goes on
            counted = self.logged
        self._counted = trainer.fit_loop.epoch_loop._batches_that_stepped if counted is None else counted
        self.finite.check(trainer, trainer.lightning_module)
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
            if isinstance(error, CheckpointException):  # what befell any process, told to all
                raise first_failure(error) from error
            raise
        self._check_states(trainer)
        self.saved_step = trainer.global_step
        self.finite.kept = self.saved_step or None
        if isinstance(trainer.fit_loop, ResumableFitLoop):
            trainer.fit_loop.epoch_is_over = self._epoch_is_over
        self.pending = True

    def _commit(self, trainer: Trainer, leave: bool = False) -> None:
        """Makes what was dumped the last checkpoint, and stops there if that is wanted."""
        if not self.pending:
            return
        self.pending = False
        if trainer.is_global_zero:
            last, previous = self.folder / LAST, self.folder / PREVIOUS
            if last.exists():
                atomic_replace(last, previous)
            atomic_replace(self._scratch, last)
        self.finite.kept = self.saved_step
        trainer.strategy.barrier("checkpoint is in place")
        if leave:
            self.stop.leave()
