"""Settings laid over a config: dotted keys become the YAML that `train.py` takes as a config of its own.

A later config is laid over an earlier one argument by argument, so that a value inside an argument (one rate of
`rates`) can only be changed together with the rest of that argument: the base's own value is copied and changed.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from common.checks import suggest

GROUPS = ("trainer", "checkpoint")  # of arguments, at the top of a config; `model` and `data` are classes
Step = str | int  # a mapping's key, or a list's index


def locate(settings: Mapping[str, Any], key: str, where: str) -> list[Step]:
    """The steps to a setting. `init_args` may be left out, as on the command line.

    Args:
        settings: all settings of a config, defaults among them.
        key: as model.init_args.learning_rates.trunk; a list's items are numbered.
        where: whose key it is, for errors.

    Raises:
        ValueError: there is no such setting; the message suggests one.
    """
    node: Any = settings
    steps: list[Step] = []
    for name in key.split("."):
        if _is_class(node) and name not in node:
            steps.append("init_args")
            node = node.get("init_args") or {}
        children = dict(enumerate(node)) if isinstance(node, list) else node if isinstance(node, dict) else {}
        step = int(name) if name.isdecimal() and int(name) in children else name
        if step not in children:
            at = ".".join(map(str, steps)) or "a config"
            raise ValueError(f"{where}: {key}: {at} has no {name!r}: {suggest(name, map(str, children))}")
        steps.append(step)
        node = children[step]
    return steps


def overlay(settings: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A config that changes nothing but `values`, by dotted key.

    Raises:
        ValueError: a key is unknown, or two of them are of the same setting.
    """
    config: dict[str, Any] = {}
    located: dict[tuple[Step, ...], str] = {}
    for key, value in values.items():
        steps = locate(settings, key, where)
        for other, name in located.items():
            if other[: len(steps)] == tuple(steps[: len(other)]):
                raise ValueError(f"{where}: {name} and {key} are settings of the same thing: leave one out")
        located[tuple(steps)] = key
        _put(config, settings, steps, value)
    return config


def value_at(settings: Mapping[str, Any], steps: Sequence[Step]) -> Any:
    """What a setting is."""
    node: Any = settings
    for step in steps:
        node = node[step]
    return node


def _put(config: dict[str, Any], settings: Mapping[str, Any], steps: Sequence[Step], value: Any) -> None:
    depth = _argument_depth(settings, steps)
    for step in steps[: depth - 1]:
        config = config.setdefault(step, {})
    if depth < len(steps):  # within an argument, which is copied whole
        config.setdefault(steps[depth - 1], copy.deepcopy(value_at(settings, steps[:depth])))
    value_at(config, steps[depth - 1 : -1])[steps[-1]] = copy.deepcopy(value)


def _argument_depth(settings: Mapping[str, Any], steps: Sequence[Step]) -> int:
    """How many steps lead to the argument that a setting is, or is inside."""
    node: Any = settings
    for count, step in enumerate(steps, 1):
        child = node[step]
        group = isinstance(child, dict) and count == 1 and step in GROUPS
        if not (group or _is_class(child) or (_is_class(node) and step == "init_args")):
            return count
        node = child
    return len(steps)


def _is_class(node: Any) -> bool:
    return isinstance(node, dict) and "class_path" in node
