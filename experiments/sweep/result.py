"""What a sweep found: a row a trial, and the best trial's values as a config that `train.py` takes."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

import yaml
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from common.markdown import markdown_table
from experiments.sweep.claims import SURPLUS
from experiments.sweep.overlay import overlay
from experiments.sweep.recipe import Recipe
from experiments.sweep.space import decoded
from experiments.sweep.trial_run import extended
from experiments.sweep.worker import WHY

ORDER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING)


def trials_of(study: Study) -> list[FrozenTrial]:
    """The trials that count: the best first, then those that were pruned, the longest first, and the rest."""
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    return sorted(
        (trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(SURPLUS)),
        key=lambda t: (
            ORDER.index(t.state),
            _lower(sign * t.values[0]) if t.state == TrialState.COMPLETE else -(t.last_step or 0),
            t.number,
        ),
    )


def _lower(value: float) -> float:
    """A value to be minimised; what is no finite number, as older sweeps kept it, is the worst there is."""
    return value if isfinite(value) else inf


def front(study: Study) -> set[int]:
    """The number of the best trial; of several objectives, those that no other trial is better than in all."""
    finite = [t for t in trials_of(study) if t.state == TrialState.COMPLETE and all(map(isfinite, t.values))]
    if len(study.directions) == 1:
        return {trial.number for trial in finite[:1]}
    signs = [-1 if direction.name == "MAXIMIZE" else 1 for direction in study.directions]
    costs = {t.number: [sign * value for sign, value in zip(signs, t.values, strict=True)] for t in finite}
    return {n for n, cost in costs.items() if not any(_beats(other, cost) for other in costs.values())}


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether costs are nowhere higher and somewhere lower than others."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def best(study: Study) -> FrozenTrial | None:
    """The best trial; of several objectives, the one of the front that is best by the first."""
    found = front(study)
    return next((trial for trial in trials_of(study) if trial.number in found), None)


def rows(study: Study, recipe: Recipe) -> list[list[str]]:
    """A heading, then a row a trial; the best is starred, of several objectives the front."""
    starred = front(study)
    heading = ["trial", "state", *recipe.objective, *short(list(recipe.space)).values()]
    return [heading, *(_row(trial, recipe, trial.number in starred) for trial in trials_of(study))]


def table(study: Study, recipe: Recipe) -> str:
    """The rows as Markdown."""
    return markdown_table(rows(study, recipe))


def short(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart."""
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [f".{other}" for other in keys if other != key]
        found[key] = next((e for e in ends if not any(o.endswith(f".{e}") for o in others)), key)
    return found


def best_config(study: Study, recipe: Recipe, settings: Mapping[str, Any]) -> str | None:
    """The base config with the best trial's values, as YAML; None: no trial is complete."""
    found = best(study)
    if found is None:
        return None
    named = zip(recipe.objective, found.values, strict=True)
    reached = ", ".join(f"{name} {value:.6g}" for name, value in named)
    shared = "".join(f"# All trials had {key}: {value}\n" for key, value in recipe.fixed.items())
    values = {key: decoded(value) for key, value in found.params.items()}
    content: dict[str, Any] = {"extends": extended(recipe.base), "name": f"sweeps/{recipe.name}/best"}
    content |= overlay(settings, values, recipe.path.name)
    return (
        f"# The best of {len(trials_of(study))} trials of the sweep {recipe.name}: trial {found.number}, {reached}.\n"
        f"{shared}{yaml.safe_dump(content, sort_keys=False)}"
    )


def number(value: Any) -> str:
    """A figure as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(trial: FrozenTrial, recipe: Recipe, on_front: bool) -> list[str]:
    values = trial.values if trial.values is not None else [None] * len(recipe.objective)
    params = [number(trial.params[key]) if key in trial.params else "" for key in recipe.space]
    shown = ["" if value is None else number(float(value)) for value in values]
    return [f"{trial.number}{' *' if on_front else ''}", _state(trial), *shown, *params]


def _state(trial: FrozenTrial) -> str:
    if trial.state == TrialState.PRUNED:
        return f"pruned at step {trial.last_step}"
    if trial.state == TrialState.FAIL:
        return f"failed: {trial.user_attrs.get(WHY, 'unknown')}"
    return {TrialState.COMPLETE: "complete", TrialState.RUNNING: "under way"}.get(trial.state, "waiting")
