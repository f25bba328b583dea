"""A sweep's YAML: base config, search space, objective, sampler, pruner, trials and store."""

import hashlib
import inspect
import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from common.checks import suggest
from common.paths import expand_all
from common.safe_yaml import read_yaml
from experiments.sweep.space import describe, encode, read_space
from training.configs import CONFIGS, expand, find_config

RESERVED = ("name", "runs_dir", "extends", "config", "trainer.enable_progress_bar")  # each trial has its own
# These know from the study what they have given; another seed would be another grid or sequence.
ONE_SEED = ("GridSampler", "QMCSampler")
# Arguments of samplers that hold values of the space, or lists of them, by key.
VALUES_BY_KEY = {"search_space", "fixed_params"}


@dataclass(frozen=True)
class Recipe:
    """A sweep's YAML.

    Attributes:
        path: of the YAML.
        base: the config that trials change, or several, a later one laid over an earlier.
        space: dotted keys, and what each may be.
        objective: a logged metric and `minimize` or `maximize`; several: there is no pruning then.
        trials: how many there are to be, those that are pruned or fail among them.
        fixed: dotted keys and values that all trials share.
        sampler, pruner: `class`, one of Optuna's, and its `args`.
        seed: of the sampler; a trial's values follow from it, the trial's number and the trials before.
        storage: a database's URL, or a journal file's path; none: an SQLite file in the sweep's folder.
        name: of the sweep: trials are runs sweeps/NAME/trial-0000 and so on.
    """

    path: Path
    base: list[Path]
    space: dict[str, BaseDistribution]
    objective: dict[str, str]
    trials: int
    name: str
    pruner: dict[str, Any]
    fixed: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=lambda: {"class": "TPESampler"})
    seed: int = 0
    storage: str | None = None

    @property
    def search(self) -> dict[str, Any]:
        """What trials of two commands must share to be comparable, in words."""
        space = {key: describe(found) for key, found in self.space.items()}
        return {"space": space, "objective": dict(self.objective), "fixed": dict(self.fixed)}

    @property
    def fingerprint(self) -> str:
        """A hash of all that a dry run depends on."""
        configs = [path.read_text(encoding="utf-8") for base in self.base for path in expand(base)]
        return hashlib.sha256(json.dumps([self.search, configs], default=str).encode()).hexdigest()

    def sampler_for(self, number: int) -> BaseSampler:
        """The sampler that chooses a trial's values: the same ones when a killed sweep goes on."""
        kind = getattr(optuna.samplers, self.sampler["class"])
        args = dict(self.sampler.get("args") or {})
        for name in VALUES_BY_KEY & set(args):  # lists and mappings are what Optuna keeps as text
            keep = (lambda values: [*map(encode, values)]) if name == "search_space" else encode
            args[name] = {key: keep(value) for key, value in args[name].items()}
        if "seed" in inspect.signature(kind).parameters:
            mixed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            args["seed"] = self.seed if kind.__name__ in ONE_SEED else mixed
        return _build(kind, args, f"{self.path}: sampler")

    def make_pruner(self) -> BasePruner:
        """What decides whether a trial is hopeless."""
        kind = getattr(optuna.pruners, self.pruner["class"])
        return _build(kind, dict(self.pruner.get("args") or {}), f"{self.path}: pruner")


def read_recipe(path: Path, storage: str | None = None) -> Recipe:
    """Reads the YAML. A `storage` that is given takes the place of its own.

    Raises:
        ValueError: it is no sweep; the message says what is wrong, before anything is trained.
        FileNotFoundError: a base config is not there.
    """
    content = expand_all(read_yaml(path))
    if not isinstance(content, dict) or not {"base", "space", "objective", "trials"} <= set(content):
        raise ValueError(f"{path} is no sweep: it needs base:, space:, objective: and trials:")
    known = [key for key in Recipe.__dataclass_fields__ if key != "path"]
    for key in content:
        if key not in known:
            raise ValueError(f"{path} has the key {str(key)!r}: {suggest(str(key), known)}")
    bases = content["base"] if isinstance(content["base"], list) else [content["base"]]
    several = isinstance(content["objective"], dict) and len(content["objective"]) > 1
    home = CONFIGS / "sweeps"
    name = (path.relative_to(home) if path.is_relative_to(home) else Path(path.name)).with_suffix("")
    defaults = {"name": name.as_posix(), "pruner": {"class": "NopPruner" if several else "MedianPruner"}}
    given = {key: value for key, value in content.items() if value is not None} | {
        "path": path,
        "base": [find_config(str(base), path.parent, f"base in {path.name}") for base in bases],
        "space": read_space(content["space"], str(path)),
    }
    recipe = Recipe(**{**defaults, **given, **({} if storage is None else {"storage": storage})})
    _check(recipe, str(path))
    return recipe


def _check(recipe: Recipe, where: str) -> None:
    _check_values(recipe, where)
    for key in (*recipe.space, *recipe.fixed):
        if key in RESERVED:
            raise ValueError(f"{where}: {key} is what a sweep gives each trial itself")
    _check_class(recipe.sampler, optuna.samplers, BaseSampler, f"{where}: sampler")
    _check_class(recipe.pruner, optuna.pruners, BasePruner, f"{where}: pruner")
    _check_grid(recipe, where)
    recipe.sampler_for(0)
    pruner = recipe.make_pruner()
    if len(recipe.objective) > 1 and not isinstance(pruner, optuna.pruners.NopPruner):
        raise ValueError(
            f"{where}: nothing can be pruned by several objectives: name one, or give pruner: {{class: NopPruner}}"
        )


def _check_values(recipe: Recipe, where: str) -> None:
    if not isinstance(recipe.name, str) or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", recipe.name):
        raise ValueError(
            f"{where}: name is {recipe.name!r}: letters, digits, '-', '_' and '.', or several with '/'"
        )
    for key, least in (("trials", 1), ("seed", 0)):
        value = getattr(recipe, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{where}: {key} is {value!r}, and must be a whole number from {least}")
    objective = recipe.objective
    directions = set(map(str, objective.values())) if isinstance(objective, dict) else set()
    if not directions or not directions <= {"minimize", "maximize"}:
        raise ValueError(
            f"{where}: objective names a metric and minimize or maximize, as {{val/loss: minimize}}"
        )
    if not isinstance(recipe.fixed, dict):
        raise ValueError(f"{where}: fixed must hold 'key: value' lines")
    if recipe.storage is not None and not isinstance(recipe.storage, str):
        raise ValueError(f"{where}: storage is a database's URL or the path of a journal file")


def _check_class(given: Any, module: Any, parent: type, where: str) -> None:
    """Raises ValueError where `given` is no {class: NAME, args: {...}} of a class of Optuna's."""
    if not isinstance(given, Mapping) or not set(given) <= {"class", "args"} or "class" not in given:
        raise ValueError(f"{where} is {{class: NAME, args: {{...}}}}")
    kinds = {name: getattr(module, name) for name in module.__all__}
    kinds = {
        n: k for n, k in kinds.items() if inspect.isclass(k) and issubclass(k, parent) and k is not parent
    }
    if given["class"] not in kinds:
        raise ValueError(f"{where}: there is no {given['class']!r}: {suggest(str(given['class']), kinds)}")
    args = given.get("args") or {}
    if not isinstance(args, dict):
        raise ValueError(f"{where}: args must hold 'key: value' lines")
    accepted = set(inspect.signature(kinds[given["class"]]).parameters) - {"seed"}
    for key in args:
        if key not in accepted:
            hint = "give seed: to the sweep" if key == "seed" else suggest(str(key), accepted)
            raise ValueError(f"{where}: {given['class']} has no {str(key)!r}: {hint}")


def _check_grid(recipe: Recipe, where: str) -> None:
    """Raises ValueError where a grid is of other keys than the space, or smaller than the trials."""
    grid = (recipe.sampler.get("args") or {}).get("search_space")
    if recipe.sampler["class"] != "GridSampler":
        return
    if not isinstance(grid, dict) or set(grid) != set(recipe.space):
        raise ValueError(f"{where}: the grid's search_space must name the keys of space")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: the grid's search_space, {key}: a list of values, not {values!r}")
        for value in values:
            if not _within(recipe.space[key], encode(value)):
                raise ValueError(f"{where}: the grid has {key} {value!r}, which its space does not hold")
    if (points := math.prod(map(len, grid.values()))) < recipe.trials:
        raise ValueError(f"{where}: the grid has {points} points: trials can be no more")


def _within(found: BaseDistribution, value: Any) -> bool:
    """Whether a key may take a value, as Optuna holds both."""
    if isinstance(found, CategoricalDistribution):
        return any(type(choice) is type(value) and choice == value for choice in found.choices)
    return isinstance(value, int | float) and not isinstance(value, bool) and found.low <= value <= found.high


def _build(kind: type, args: dict[str, Any], where: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class is experimental is Optuna's affair
            return kind(**args)
    except (TypeError, ValueError, AttributeError, ImportError) as error:
        raise ValueError(f"{where}: {kind.__name__}: {' '.join(str(error).split())}") from error
