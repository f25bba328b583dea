"""The result of a sweep: a row a trial, and the best trial's values as a config that `train.py` takes."""

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
from experiments.sweep.space import decode
from experiments.sweep.trial_run import extended
from experiments.sweep.worker import WHY

STATES = {  # in the order of a table, and as it names them
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "under way",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}


def trials_of(study: Study) -> list[FrozenTrial]:
    """The trials that count: the best first, then those that were pruned, the longest first, and the rest."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(SURPLUS)]

    def rank(trial: FrozenTrial) -> tuple[int, float, int]:
        done = trial.state == TrialState.COMPLETE
        cost = _costs(study, trial)[0] if done else -(trial.last_step or 0)
        # what is no finite number, as older sweeps kept it, is the worst there is
        return list(STATES).index(trial.state), cost if isfinite(cost) else inf, trial.number

    return sorted(trials, key=rank)


def _costs(study: Study, trial: FrozenTrial) -> list[float]:
    """A complete trial's values, turned so that lower is better."""
    signs = [-1 if direction.name == "MAXIMIZE" else 1 for direction in study.directions]
    return [sign * value for sign, value in zip(signs, trial.values, strict=True)]


def pareto_front(study: Study) -> set[int]:
    """The number of the best trial; of several objectives, those that no other trial is better than in all."""
    finite = [t for t in trials_of(study) if t.state == TrialState.COMPLETE and all(map(isfinite, t.values))]
    if len(study.directions) == 1:
        return {trial.number for trial in finite[:1]}
    costs = {trial.number: _costs(study, trial) for trial in finite}
    return {n for n, cost in costs.items() if not any(_dominates(other, cost) for other in costs.values())}


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether costs are nowhere higher and somewhere lower than others."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def best(study: Study) -> FrozenTrial | None:
    """The best trial; of several objectives, the one of the front that is best by the first."""
    front = pareto_front(study)
    return next((trial for trial in trials_of(study) if trial.number in front), None)


def rows(study: Study, recipe: Recipe) -> list[list[str]]:
    """A heading, then a row a trial; the best is starred, of several objectives the front."""
    front = pareto_front(study)
    heading = ["trial", "state", *recipe.objective, *short_names(list(recipe.space)).values()]
    return [heading, *(_row(trial, recipe, trial.number in front) for trial in trials_of(study))]


def table(study: Study, recipe: Recipe) -> str:
    """The rows as Markdown."""
    return markdown_table(rows(study, recipe))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart."""
    found = {}
    for key in keys:
        names = key.split(".")
        ends = [".".join(names[-count:]) for count in range(1, len(names) + 1)]
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
    values = {key: decode(value) for key, value in found.params.items()}
    content: dict[str, Any] = {"extends": extended(recipe.base), "name": f"sweeps/{recipe.name}/best"}
    content |= overlay(settings, values, recipe.path.name)
    return (
        f"# The best of {len(trials_of(study))} trials of the sweep {recipe.name}: trial {found.number}, {reached}.\n"
        f"{shared}{yaml.safe_dump(content, sort_keys=False)}"
    )


def format_value(value: Any) -> str:
    """A value in a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(trial: FrozenTrial, recipe: Recipe, starred: bool) -> list[str]:
    state = STATES[trial.state]
    if trial.state == TrialState.PRUNED:
        state += f" at step {trial.last_step}"
    if trial.state == TrialState.FAIL:
        state += f": {trial.user_attrs.get(WHY, 'unknown')}"
    values = [*map(float, trial.values)] if trial.values else [""] * len(recipe.objective)
    params = [trial.params.get(key, "") for key in recipe.space]
    return [f"{trial.number}{' *' if starred else ''}", state, *map(format_value, [*values, *params])]
