"""A stage ends with one whole model folder."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.files import write_text
from training.export import ExportModelFolder


def trainer_in(folder: Path) -> SimpleNamespace:
    """As much of a trainer as the callback uses."""
    strategy = SimpleNamespace(barrier=lambda name: None)
    return SimpleNamespace(
        default_root_dir=str(folder), fast_dev_run=False, is_global_zero=True, callbacks=[], strategy=strategy
    )


def module_that(export: Callable[[Path], object]) -> SimpleNamespace:
    """As much of a module."""
    return SimpleNamespace(export=export, gather=lambda: None)


def test_failed_export_leaves_the_old_model(tmp_path: Path) -> None:
    def export(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("no space")

    write_text(tmp_path / "model" / "config.json", "{}")
    with pytest.raises(OSError, match="no space"):
        ExportModelFolder().on_train_end(trainer_in(tmp_path), module_that(export))
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]


def test_model_is_exported_once(tmp_path: Path) -> None:
    folders = []
    callback, module = ExportModelFolder(), module_that(folders.append)
    callback.on_train_end(trainer_in(tmp_path), module)
    callback.on_fit_end(trainer_in(tmp_path), module)
    assert len(folders) == 1 and (tmp_path / "model").is_dir()
