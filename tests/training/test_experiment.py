"""One run: its folder, its end, and what is done again."""

from pathlib import Path

import pytest
import yaml

import train
from tests.tiny import BASE, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder with one config."""
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)


def test_run_folder_resolved_config_and_finish(capsys: pytest.CaptureFixture) -> None:
    write(
        "child.yaml", {"extends": "base.yaml", "model": {"init_args": {"lr": "${checkpoint.every_n_steps}"}}}
    )
    write("debug.yaml", {"extends": "base.yaml", "trainer": {"max_steps": 3}})
    run = train.main(["--config", "child.yaml", "--config", "debug.yaml", "--checkpoint.every_n_steps", "2"])
    assert run.trainer.global_step == 3 and run.model.lr == 2.0
    folder = Path("runs/child")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["init_args"]["lr"] == 2.0 and config["trainer"]["max_steps"] == 3
    assert (folder / "model" / "weights.pt").exists() and (folder / "checkpoints" / "last.ckpt").exists()
    assert list((folder / "tensorboard").glob("events*"))
    assert not list(folder.rglob("*.tmp")) + list(folder.rglob("*.old"))

    before = (folder / "metrics.csv").read_bytes()
    capsys.readouterr()
    again = train.main(["--config", str(folder / "config.yaml")])
    assert "finished" in capsys.readouterr().err and again.trainer is None
    assert (folder / "metrics.csv").read_bytes() == before
    other = train.main(
        ["--config", str(folder / "config.yaml"), "--name", "other", "--runs_dir", "elsewhere"]
    )
    assert other.trainer.global_step == 3
    assert Path("elsewhere/other/metrics.csv").read_bytes() == before


def test_a_run_without_its_record_of_the_end_is_exported_again() -> None:
    train.main(["--config", "base.yaml"])
    Path("runs/base/finished.json").unlink()
    (weights := Path("runs/base/model/weights.pt")).unlink()
    before = Path("runs/base/metrics.csv").read_text()
    train.main(["--config", "base.yaml"])
    assert weights.exists() and Path("runs/base/finished.json").exists()
    assert Path("runs/base/metrics.csv").read_text() == before


def test_evaluating_leaves_the_run_as_it_is() -> None:
    train.main(["--config", "base.yaml"])
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    run = train.main(["validate", "--config", "base.yaml"])
    assert run.resume.step == 30 and "val/loss" in run.trainer.callback_metrics
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == before


def test_fast_dev_run_leaves_nothing() -> None:
    train.main(["--config", "base.yaml", "--trainer.fast_dev_run", "true"])
    assert not Path("runs").exists()
