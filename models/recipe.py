"""A recipe is the settings of a part as a dict: a class is built from one here, and a mistyped key is told."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

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
        wanted = hints.get(name)
        if wanted in SIMPLE and not _is(value, wanted):
            raise ValueError(f"{where}: {name} must be of type {wanted.__name__}, not {value!r}")
    return part(**recipe)


def check_keys(recipe: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Makes sure that every key is known.

    Raises:
        ValueError: one is not; the message says what was meant, or what there is.
    """
    names = sorted(known)
    for key in recipe:
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}"
            raise ValueError(f"{where} has no setting {key!r}: {hint}")


def _is(value: Any, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)
