"""Settings as a config gives them, a mapping: objects are built from one here, and a mistyped key is one clear line."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from common.checks import suggest

Built = TypeVar("Built")


def build(kind: type[Built], config: Mapping[str, Any], where: str) -> Built:
    """An instance of a class with the settings of a config; ValueError, from `where` on, names a wrong or missing one."""
    parameters = dict(inspect.signature(kind.__init__).parameters)
    parameters.pop("self")
    check_keys(config, parameters, where)
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in config:
            raise ValueError(f"{where} lacks the setting {name!r}")
    hints = get_type_hints(kind.__init__)
    for name, value in config.items():
        if not _is_of(value, hint := hints.get(name, Any)):
            raise ValueError(f"{where}: {name} must be {_describe(hint)}, not {value!r}")
    return kind(**config)


def override_fields(own: Any, config: Any, where: str) -> Any:
    """A dataclass with a config's values in place of its own; null leaves one. Errors begin with `where`."""
    check_keys(check_mapping(config, where), [one.name for one in fields(own)], where)
    try:
        return replace(own, **{name: value for name, value in config.items() if value is not None})
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from error


def check_mapping(config: Any, where: str) -> Mapping[str, Any]:
    """Returns a config that is a mapping; raises ValueError where it is not."""
    if not isinstance(config, Mapping):
        raise ValueError(f"{where} must hold 'key: value' lines, not {config!r}")
    return config


def check_keys(config: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises ValueError where a key is not known: with what was meant, or what there is."""
    names = sorted(known)
    for key in config:
        if key not in names:
            raise ValueError(f"{where} has no setting {key!r}: {suggest(key, names)}")


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value of JSON or YAML is of a type; of types that these do not hold, every value is."""
    kind, of = get_origin(hint), get_args(hint)
    if kind is Literal:
        return any(type(value) is type(one) and value == one for one in of)
    if kind in (Union, UnionType):
        return any(_is_of(value, one) for one in of)
    if kind is dict:
        return isinstance(value, Mapping) and all(
            _is_of(k, of[0]) and _is_of(v, of[1]) for k, v in value.items()
        )
    if kind in (list, tuple):
        inner = [one for one in of if one is not Ellipsis]
        return isinstance(value, list | tuple) and all(any(_is_of(v, one) for one in inner) for v in value)
    if hint in (int, float) and isinstance(value, bool):
        return False
    return hint not in (int, float, bool, str, type(None)) or isinstance(
        value, (int, float) if hint is float else hint
    )


def _describe(hint: Any) -> str:
    """A type as a user reads it."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_describe, get_args(hint)))
    if hint is type(None):
        return "null"
    return f"of type {hint.__name__ if isinstance(hint, type) and not get_args(hint) else hint}"
