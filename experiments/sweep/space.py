"""The search space of a sweep: dotted keys of a config, and what each may be, as Optuna's distributions.

Optuna keeps choices as plain values; a list or a mapping among them is kept as its JSON text.
"""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from common.checks import suggest

# What each type needs, and what it may have.
TYPES = {
    "float": (("low", "high"), ("log", "step")),
    "int": (("low", "high"), ("log", "step")),
    "categorical": (("choices",), ()),
}
ENCODED = ("[", "{", '"')  # how a choice begins that is kept as JSON


def read_space(content: Any, where: str) -> dict[str, BaseDistribution]:
    """The space of a YAML: keys, and mappings as {type: float, low: 1e-4, high: 1e-2, log: true}.

    Raises:
        ValueError: something is wrong with it; the message begins with `where`.
    """
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"{where}: space must name what is searched, as 'model.init_args.lr: {{type: float, ...}}'"
        )
    return {str(key): _distribution(given, f"{where}: space, {key}") for key, given in content.items()}


def propose(trial: Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The values of a trial: those it has, and new ones from the study's sampler."""
    return {key: decode(_propose(trial, key, found)) for key, found in space.items()}


def _propose(trial: Trial, key: str, found: BaseDistribution) -> Any:
    if isinstance(found, CategoricalDistribution):
        return trial.suggest_categorical(key, found.choices)
    suggest_number = trial.suggest_int if isinstance(found, IntDistribution) else trial.suggest_float
    return suggest_number(key, found.low, found.high, step=found.step, log=found.log)


def encode(choice: Any) -> Any:
    """A value as Optuna keeps it: lists and mappings as JSON."""
    plain = choice is None or isinstance(choice, bool | int | float | str)
    if plain and not (isinstance(choice, str) and choice.startswith(ENCODED)):
        return choice
    return json.dumps(choice)


def decode(value: Any) -> Any:
    """A value as a config has it, from what Optuna keeps."""
    return json.loads(value) if isinstance(value, str) and value.startswith(ENCODED) else value


def candidates(space: Mapping[str, BaseDistribution]) -> list[dict[str, Any]]:
    """Sets of values in which every end and every choice of a space is found."""
    ends = {key: _ends(found) for key, found in space.items()}
    count = max(map(len, ends.values()))
    return [{key: values[min(i, len(values) - 1)] for key, values in ends.items()} for i in range(count)]


def midpoint(found: BaseDistribution) -> Any:
    """A value to try first: the geometric or the plain mean of both ends, or the first choice."""
    if isinstance(found, CategoricalDistribution):
        return decode(found.choices[0])
    mean = (found.low * found.high) ** 0.5 if found.log else (found.low + found.high) / 2
    if found.step is None:
        return mean
    return type(found.low)(found.low + (mean - found.low) // found.step * found.step)


def describe(found: BaseDistribution) -> str:
    """What a key may be, in words: equal spaces have equal descriptions."""
    if isinstance(found, CategoricalDistribution):
        return f"one of {', '.join(map(str, found.choices))}"
    kind = "int" if isinstance(found, IntDistribution) else "float"
    step = "" if found.step in (None, 1) else f" in steps of {found.step:g}"
    return f"{kind} {found.low:g} to {found.high:g}{' log' if found.log else ''}{step}"


def _ends(found: BaseDistribution) -> list[Any]:
    """The values that must all be valid in a config: both ends, or every choice."""
    if isinstance(found, CategoricalDistribution):
        return [decode(choice) for choice in found.choices]
    return [found.low, found.high]


def _distribution(given: Any, where: str) -> BaseDistribution:
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in TYPES:
        raise ValueError(f"{where}: type is {kind!r}, and there is {', '.join(TYPES)}")
    needed, optional = TYPES[kind]
    for key in given:
        if key not in (*needed, *optional, "type"):
            raise ValueError(f"{where}: {kind} has no {key!r}: {suggest(str(key), (*needed, *optional))}")
    if missing := [key for key in needed if key not in given]:
        raise ValueError(f"{where}: {kind} needs {missing[0]}")
    try:
        if kind == "categorical":
            return CategoricalDistribution(_choices(given["choices"]))
        log = given.get("log", False)
        if not isinstance(log, bool):
            raise ValueError(f"log is {log!r}: true or false")
        number, distribution = NUMBERS[kind]
        return distribution(log=log, **{key: number(given[key]) for key in (*needed, "step") if key in given})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _choices(given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise ValueError("choices must be a list of values")
    kept = [encode(choice) for choice in given]
    if len({(type(choice), choice) for choice in kept}) < len(kept):
        raise ValueError("choices has a value twice")
    return kept


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


NUMBERS = {"float": (float, FloatDistribution), "int": (_whole, IntDistribution)}
