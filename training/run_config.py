"""A run's own config.yaml: written when its training starts, logged, and compared when the same name is run again."""

from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from common.files import write_text
from common.safe_yaml import read_yaml
from training.configs import config_differences
from training.loggers import log_settings, write_run_ids


class SaveRunConfig(Callback):
    """Writes the resolved config when training starts, and logs it: a run that was not built leaves none."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = {key: value for key, value in config.items() if key not in ("config", "extends")}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        path = Path(trainer.default_root_dir) / "config.yaml"
        if not path.exists():
            write_text(path, yaml.safe_dump(self.config, sort_keys=False))
        for logger in trainer.loggers:
            log_settings(logger, self.config, path)
        write_run_ids(path.parent, trainer.loggers)


def check_same_config(folder: Path, config: dict[str, Any]) -> None:
    """Raises ValueError naming the keys in which `config` differs from that of the run in `folder`."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    saved = read_yaml(path)
    if not isinstance(saved, dict):
        raise ValueError(f"{path} is not what this run wrote: put it back, or remove the run")
    if different := config_differences(saved, config):
        raise ValueError(
            f"the run in {folder} was made with another config: {', '.join(different)}; "
            "give the new one a --name of its own, or remove the old run"
        )
