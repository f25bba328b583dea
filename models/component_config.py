"""A recipe is the settings of a part as a dict: a class is built from one here, and a mistyped key is told."""

import inspect
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from common.checks import suggest

Part = TypeVar("Part")
SIMPLE = (int, float, bool, str)


def build(part: type[Part], recipe: Mapping[str, Any], where: str) -> Part:
    """An instance of `part` with the settings of a recipe.

    Raises:
        ValueError: the recipe has a key that the class does not know, lacks one, or gives a value of another type; it
            begins with `where`.
    """
    parameters = dict(inspect.signature(part.__init__).parameters)
    parameters.pop("self")
    check_keys(recipe, parameters, where)
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in recipe:
            raise ValueError(f"{where} lacks the setting {name!r}")
    hints = get_type_hints(part.__init__)
    for name, value in recipe.items():
        wanted = hints.get(name, Any)
        if not _is(value, wanted):
            raise ValueError(f"{where}: {name} must be {_told(wanted)}, not {value!r}")
    return part(**recipe)


def check_keys(recipe: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Makes sure that every key is known.

    Raises:
        ValueError: one is not; the message says what was meant, or what there is.
    """
    names = sorted(known)
    for key in recipe:
        if key not in names:
            raise ValueError(f"{where} has no setting {key!r}: {suggest(key, names)}")


def _is(value: Any, wanted: Any) -> bool:
    """Whether a value of JSON or YAML is of a type; of what these do not hold, everything is."""
    kind, of = get_origin(wanted), get_args(wanted)
    if kind is Literal:
        return any(type(value) is type(one) and value == one for one in of)
    if kind in (Union, UnionType):
        return any(_is(value, one) for one in of)
    if kind is dict:
        return isinstance(value, Mapping) and all(_is(k, of[0]) and _is(v, of[1]) for k, v in value.items())
    if kind in (list, tuple):
        inner = [one for one in of if one is not Ellipsis]
        return isinstance(value, list | tuple) and all(any(_is(v, one) for one in inner) for v in value)
    if wanted is type(None):
        return value is None
    if wanted not in SIMPLE:
        return True
    if wanted is not bool and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if wanted is float else wanted)


def _told(wanted: Any) -> str:
    """A type as a user reads it."""
    if get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, get_args(wanted)))
    if get_origin(wanted) in (Union, UnionType):
        return " or ".join(map(_told, get_args(wanted)))
    if wanted is type(None):
        return "null"
    return f"of type {wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else wanted}"
