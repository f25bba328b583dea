"""The settings of two runs held against each other; needs no Lightning."""

from collections.abc import Mapping
from typing import Any

# Where things lie does not change what a run computes, and the resolved config holds what the files did.
IGNORED = ("config", "extends", "name", "runs_dir")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The keys in which two configs differ, each as "model.init_args.lr (0.1 -> 0.2)"."""
    before, after = _flat(old), _flat(new)
    keys = [key for key in sorted(before.keys() | after.keys()) if key.split(".")[0] not in IGNORED]
    return [
        f"{key} ({_show(before, key)} -> {_show(after, key)})"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
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
