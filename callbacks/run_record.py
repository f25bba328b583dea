"""A run's own config.yaml: written when its training starts, and compared when the same name is run again."""

from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.durable import write_text

# Where things lie does not change what a run computes, and the resolved config holds what the files did.
IGNORED = ("config", "extends", "name", "runs_dir")


class RunRecord(Callback):
    """Writes the resolved config when training starts: a run that could not be built leaves none."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = Path(trainer.default_root_dir) / "config.yaml"
        if trainer.is_global_zero and not trainer.fast_dev_run and not path.exists():
            kept = {key: value for key, value in self.config.items() if key not in ("config", "extends")}
            write_text(path, yaml.safe_dump(kept, sort_keys=False))


def check_same_config(folder: Path, config: dict[str, Any]) -> None:
    """Raises ValueError naming the keys in which `config` differs from that of the run in `folder`."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    old, new = _flat(yaml.safe_load(path.read_text(encoding="utf-8"))), _flat(config)
    keys = [key for key in sorted(old.keys() | new.keys()) if key.split(".")[0] not in IGNORED]
    differing = [
        f"{key} ({_show(old, key)} -> {_show(new, key)})" for key in keys if old.get(key) != new.get(key)
    ]
    if differing:
        raise ValueError(
            f"the run in {folder} was made with another config: {', '.join(differing)}; "
            "give the new one a --name of its own, or remove the old run"
        )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"model.init_args.lr": 0.1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else {f"{prefix}{key}": value}
        )
    return flat


def _show(flat: dict[str, Any], key: str) -> str:
    return str(flat[key]) if key in flat else "unset"
