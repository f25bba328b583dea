"""Settings as flat dotted keys, and in which of them two configs differ."""

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"model.init_args.lr": 0.1}; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        found |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys of two flat configs whose values differ, in order; an unset key is as one set to None."""
    return [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]


def format_setting(config: Mapping[str, Any], key: str) -> str:
    """A setting in words."""
    return str(config[key]) if key in config else "unset"
