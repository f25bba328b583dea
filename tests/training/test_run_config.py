"""A run's config.yaml, held against the config that the same name is run with again."""

from pathlib import Path

import pytest

from common.files import write_text
from training.run_config import check_same_config


def test_same_config_names_the_keys_that_differ(tmp_path: Path) -> None:
    check_same_config(tmp_path, {"model": {"lr": 1}})
    write_text(tmp_path / "config.yaml", "model: {lr: 1, sizes: [1, 2]}\nname: a\n")
    check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1, 2]}, "name": "b", "runs_dir": "there"})
    with pytest.raises(ValueError, match=r"model.sizes \(\[1, 2\] -> \[1\]\), model.width \(unset -> 4\);"):
        check_same_config(tmp_path, {"model": {"lr": 1, "sizes": [1], "width": 4}})
