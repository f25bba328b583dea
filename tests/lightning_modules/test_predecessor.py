"""A missing predecessor is reported with the command that makes it, whichever chain it is of."""

from types import SimpleNamespace

import lightning as L
import pytest

from lightning_modules.predecessor import Predecessors, config_producing


@pytest.mark.parametrize(
    ("folder", "config"),
    [
        ("runs/playground/stage1/model", "stage1.yaml"),
        ("/elsewhere/runs/playground/stage1/model/", "stage1.yaml"),
        ("runs/reference/stage2/model", "playground/reference/stage2.yaml"),
        ("runs/ablations/no_stem/model", "ablations/no_stem.yaml"),
        ("runs/mine/model", "mine.yaml"),
    ],
)
def test_the_config_that_makes_a_folder_is_found_by_its_run(folder: str, config: str) -> None:
    assert config_producing(folder) == config


def test_what_is_missing_is_said_in_one_line(tmp_path) -> None:
    module = L.LightningModule()
    with pytest.raises(FileNotFoundError, match="this starts from .* run `python train.py --config s.yaml`"):
        Predecessors().load(module, str(tmp_path / "s" / "model"))
    module._trainer = SimpleNamespace(default_root_dir=str(tmp_path / "runs" / "stage2"), ckpt_path=None)
    with pytest.raises(FileNotFoundError, match="stage2 starts from"):
        Predecessors().load(module, str(tmp_path / "s" / "model"))
