"""What stands beside the checkpoints: export, record, parameter table, progress and durable files."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from common.files import atomic_replace, scratch_path, write_text
from training.export import ExportModelFolder
from training.parameter_table import parameter_table
from training.progress import StageProgress
from training.run_config import check_same_config


def trainer_in(folder: Path, **attributes: object) -> SimpleNamespace:
    """As much of a trainer as these callbacks look at."""
    strategy = SimpleNamespace(barrier=lambda name: None)
    defaults = {
        "default_root_dir": str(folder),
        "fast_dev_run": False,
        "is_global_zero": True,
        "callbacks": [],
        "strategy": strategy,
    }
    return SimpleNamespace(**(defaults | attributes))


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("old", "new"):
        scratch = scratch_path(target)
        scratch.mkdir()
        (scratch / content).write_text(content)
        atomic_replace(scratch, target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in target.iterdir()] == ["new"]


def test_failed_export_leaves_the_old_model(tmp_path: Path) -> None:
    def export(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("no space")

    write_text(tmp_path / "model" / "config.json", "{}")
    with pytest.raises(OSError, match="no space"):
        ExportModelFolder().on_train_end(trainer_in(tmp_path), SimpleNamespace(export=export))
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]


def test_model_is_exported_once(tmp_path: Path) -> None:
    folders = []
    callback, module = ExportModelFolder(), SimpleNamespace(export=folders.append)
    callback.on_train_end(trainer_in(tmp_path), module)
    callback.on_fit_end(trainer_in(tmp_path), module)
    assert len(folders) == 1 and (tmp_path / "model").is_dir()


def test_same_config_names_the_keys_that_differ(tmp_path: Path) -> None:
    check_same_config(tmp_path, {"model": {"lr": 1}})
    write_text(tmp_path / "config.yaml", "model: {lr: 1, sizes: [1, 2]}\nname: a\n")
    check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1, 2]}, "name": "b", "runs_dir": "there"})
    with pytest.raises(ValueError, match=r"model.sizes \(\[1, 2\] -> \[1\]\), model.width \(unset -> 4\);"):
        check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1], "width": 4}})


def test_parameter_table_names_parts_and_rates() -> None:
    module = torch.nn.ModuleDict({"adapter": torch.nn.Linear(3, 2), "head": torch.nn.Linear(2, 1)})
    module["head"].requires_grad_(False)
    adapter = module["adapter"]
    groups = [{"params": [adapter.weight], "name": "adapter"}, {"params": [adapter.bias], "name": "adapter"}]
    lines = parameter_table(SimpleNamespace(optimizers=[torch.optim.AdamW(groups, lr=2e-4)]), module)
    assert [line.split() for line in lines[1:]] == [["adapter", "8", "2.00e-04"], ["frozen", "3"]]


def test_progress_shows_stage_step_loss_and_speed(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    trainer = trainer_in(
        Path(),
        global_step=0,
        estimated_stepping_batches=100,
        world_size=2,
        callback_metrics={"train/loss": torch.tensor(0.5)},
    )
    module = SimpleNamespace(items_in_batch=len, items_name="images")
    bar = StageProgress("stage1")
    bar.on_train_start(trainer, module)
    trainer.global_step, now[0] = 10, 40.0
    bar.on_train_batch_end(trainer, module, None, [0] * 400, 9)
    assert capsys.readouterr().err == "stage1  step 10/100  loss 0.5  20 images/s  6 min left\n"
