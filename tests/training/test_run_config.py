"""A run's config.yaml, held against the config that the same name is run with again."""

from pathlib import Path

import pytest

import train
from common.files import write_text
from tests.tiny import BASE, error_of, write
from training.run_config import check_same_config


def test_same_config_names_the_keys_that_differ(tmp_path: Path) -> None:
    check_same_config(tmp_path, {"model": {"lr": 1}})
    write_text(tmp_path / "config.yaml", "model: {lr: 1, sizes: [1, 2]}\nname: a\n")
    check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1, 2]}, "name": "b", "runs_dir": "there"})
    with pytest.raises(ValueError, match=r"model.sizes \(\[1, 2\] -> \[1\]\), model.width \(unset -> 4\);"):
        check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1], "width": 4}})


def test_another_config_under_the_same_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)
    train.main(["--config", "base.yaml", "--trainer.max_steps", "2"])
    before = Path("runs/base/metrics.csv").read_bytes()
    line = error_of(capsys, "--config", "base.yaml", "--trainer.max_steps", "3", "--data.batch_size", "2")
    assert "trainer.max_steps (2 -> 3)" in line and "data.init_args.batch_size (4 -> 2)" in line
    assert "lr" not in line and Path("runs/base/metrics.csv").read_bytes() == before
