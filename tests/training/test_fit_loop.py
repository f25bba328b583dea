"""The fit loop that resumes what a stopped run has left undone."""

import traceback
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from training.fit_loop import ResumableFitLoop, has_pending_validation, is_restore_error, request_validation

QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}


def test_it_takes_over_the_inner_loops_and_the_length() -> None:
    trainer = Trainer(max_steps=7, min_epochs=1, **QUIET)
    inner = trainer.fit_loop.epoch_loop
    loop = ResumableFitLoop.wrap(trainer.fit_loop)
    assert loop.epoch_loop is inner and (loop.max_steps, loop.min_epochs) == (7, 1)


def test_a_validation_that_is_requested_is_pending_until_it_begins() -> None:
    loop = Trainer(max_steps=1, **QUIET).fit_loop.epoch_loop.val_loop
    assert not has_pending_validation(loop)
    request_validation(loop)
    assert has_pending_validation(loop)
    loop.batch_progress.total.reset()
    assert not has_pending_validation(loop)


def test_only_errors_of_lightning_s_restoring_are_restore_errors(tmp_path: Path) -> None:
    restoring = compile("{}['key']", str(tmp_path / "checkpoint_connector.py"), "eval")
    for code, expected in ((restoring, True), (compile("{}['key']", "other.py", "eval"), False)):
        with pytest.raises(KeyError) as error:
            eval(code)
        assert traceback.extract_tb(error.value.__traceback__) and is_restore_error(error.value) == expected
