"""Lightning's fit loop, for runs that were stopped where Lightning itself would not resume exactly."""

import traceback
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loops import _EvaluationLoop, _FitLoop, _Loop


class ResumableFitLoop(_FitLoop):
    """Does what a run that was stopped after a step has left undone: that step's validation, and the end of training.

    Lightning takes a run whose last step is done for finished: neither the validation after that step nor `on_train_end`
    would come. Nor does it know whether the hooks of an epoch's end came before a checkpoint that was written there: in
    a run of `max_steps` it has them come again, and counts the epoch twice.
    """

    epoch_is_over = False  # whether all hooks of an epoch's end had come when the checkpoint was written

    @classmethod
    def wrap(cls, loop: _FitLoop) -> "ResumableFitLoop":
        """A trainer's own loop with this one around its inner loops."""
        wrapped = cls(loop.trainer, loop.min_epochs, loop.max_epochs)
        wrapped.epoch_loop = loop.epoch_loop
        return wrapped

    @_FitLoop.restarting.setter
    def restarting(self, restarting: bool) -> None:
        """Whether a checkpoint is resumed; one of an epoch's end counts, whose position in the data is else lost."""
        progress = self.epoch_progress.current
        between = progress.completed < progress.ready or self._iteration_based_training()
        _Loop.restarting.fset(self, restarting and between)

    @property
    def done(self) -> bool:
        """Whether nothing is left, including a pending validation."""
        return not (self.restarting and has_pending_validation(self.epoch_loop.val_loop)) and super().done

    def on_load_checkpoint(self, state_dict: dict) -> None:
        """Forgets a loader that was opened before, to estimate the run's length: it would not resume at its position."""
        super().on_load_checkpoint(state_dict)
        if self._data_fetcher is not None:
            self._data_fetcher.teardown()
        self._combined_loader = self._data_fetcher = None

    def run(self) -> None:
        """Trains; a run that has done its last step before has its end all the same."""
        self.has_ended, resumed = False, self._loaded_from_state_dict
        super().run()
        if resumed and not self.has_ended:
            self.on_run_start()
            self.on_run_end()

    def on_advance_end(self) -> None:
        """The end of an epoch; of one whose end is in the checkpoint already, what is left of it."""
        if self.restarted_on_epoch_end:
            # Lightning counts the epoch twice, which a second resume would trip over
            for progress in (self.epoch_progress.total, self.epoch_progress.current):
                progress.processed -= 1
                progress.completed = progress.processed
            if self.epoch_is_over:
                self.epoch_progress.increment_processed()
                self.epoch_progress.increment_completed()
                return
        super().on_advance_end()

    def on_run_end(self) -> None:
        """The end of training, once."""
        self.has_ended = True
        super().on_run_end()


def request_validation(loop: _EvaluationLoop) -> None:
    """Marks, for a checkpoint, a validation as begun and to be run from its start.

    Lightning resumes a validation whose first batch was begun and not done; none was done, so all of it is run.
    """
    loop.batch_progress.reset()
    loop.batch_progress.total.ready = loop.batch_progress.total.started = 1


def has_pending_validation(loop: _EvaluationLoop) -> bool:
    """Whether a checkpoint was so marked."""
    total = loop.batch_progress.total
    return total.ready == total.started == total.processed + 1 and total.completed == total.processed


def ends_with_step(trainer: Trainer) -> bool:
    """Whether nothing of this step is left: no gradients being accumulated, no validation, no end of training."""
    loop = trainer.fit_loop.epoch_loop
    validates = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
    return not (loop._should_accumulate() or loop._is_training_done or validates)


def is_restore_error(error: BaseException) -> bool:
    """Whether an error was raised while Lightning restored a checkpoint's content."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).name == "checkpoint_connector.py" for frame in frames)
