"""The page of a sweep: the best trial, four plots and every trial, in one file that needs no network."""

import warnings
from collections import Counter
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import optuna
from markupsafe import Markup
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from common.pages import fragment, join, section, table, write_page
from experiments.sweep import plots
from experiments.sweep.plots import BAD, BEST, GOOD, Axis, Trace
from experiments.sweep.recipe import Recipe
from experiments.sweep.result import STATES, best, format_value, pareto_front, rows, short_names, trials_of

MIN_TRIALS = 4  # complete ones from which importances can be estimated
COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED


def write_sweep(path: Path, study: Study, recipe: Recipe) -> Path:
    """Writes the page; returns its path."""
    trials = [
        trial
        for trial in trials_of(study)
        if trial.state in (COMPLETE, PRUNED) and trial.values and all(map(isfinite, trial.values))
    ]
    charts = [*_histories(study, recipe, trials), *_training(study, recipe, trials)]
    charts += [*_importances(study, recipe), *_parallel(study, recipe, trials)]
    body = [_opening(study, recipe), _cards(study, recipe)]
    if charts:
        body.append(fragment('<h2>How it went</h2><div class="charts">{{ it }}</div>', it=join(charts)))
    body += [_table(study, recipe), _footer(recipe)]
    return write_page(path, f"Sweep {recipe.name}", body)


def _opening(study: Study, recipe: Recipe) -> Markup:
    trials = trials_of(study)
    counts = Counter(trial.state for trial in trials)
    states = [f"{counts[state]} {name}" for state, name in STATES.items() if counts[state]]
    aims = ", ".join(f"{name} ({direction}d)" for name, direction in recipe.objective.items())
    return fragment(
        """<h1>Sweep {{ name }}</h1><p class="lead">{{ made }} of {{ trials }} trials: {{ states }}.
Searched: {{ searched }}. Aim: {{ aims }}.</p>""",
        name=recipe.name,
        made=len(trials),
        trials=recipe.trials,
        states=", ".join(states) or "none yet",
        searched=", ".join(short_names(list(recipe.space)).values()),
        aims=aims,
    )


def _cards(study: Study, recipe: Recipe) -> Markup:
    """The best trial: its values of the objectives, then of the keys."""
    found = best(study)
    if found is None:
        return Markup()
    named = [(name, value) for name, value in zip(recipe.objective, found.values, strict=True)]
    named += [(label, found.params[key]) for key, label in short_names(list(recipe.space)).items()]
    return fragment(
        """<h2>The best: trial {{ number }}</h2><div class="cards">
{% for name, value in cards %}<div class="card"><div class="name">{{ name }}</div>
<div class="score">{{ value }}</div></div>{% endfor %}</div>""",
        number=found.number,
        cards=[(name, format_value(value)) for name, value in named],
    )


def _colour(trial: FrozenTrial, starred: set[int]) -> str:
    return BEST if trial.number in starred else GOOD if trial.state == COMPLETE else BAD


def _histories(study: Study, recipe: Recipe, trials: list[FrozenTrial]) -> list[Markup]:
    found = []
    for i, (name, direction) in enumerate(recipe.objective.items()):
        points = [
            Trace(t.number, [(t.number, t.values[i])], GOOD if t.state == COMPLETE else BAD) for t in trials
        ]
        if points:
            found.append(plots.history(name, points, direction == "maximize"))
    return found


def _training(study: Study, recipe: Recipe, trials: list[FrozenTrial]) -> list[Markup]:
    starred = pareto_front(study)
    logged = {t.number: [(s, v) for s, v in t.intermediate_values.items() if isfinite(v)] for t in trials}
    traces = [
        Trace(t.number, sorted(logged[t.number]), _colour(t, starred)) for t in trials if logged[t.number]
    ]
    return [plots.training(f"{next(iter(recipe.objective))} while training", traces)] if traces else []


def _importances(study: Study, recipe: Recipe) -> list[Markup]:
    """PED-ANOVA's shares, of each objective."""
    if sum(trial.state == COMPLETE for trial in trials_of(study)) < MIN_TRIALS:
        return []
    labels, found = short_names(list(recipe.space)), []
    for i, (name, direction) in enumerate(recipe.objective.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                shares = optuna.importance.get_param_importances(study, target=_lower(i, direction))
            except (ValueError, RuntimeError):  # all values alike, or none finite: nothing can be said
                continue
        found.append(plots.importance(f"What decided {name}", {labels[key]: s for key, s in shares.items()}))
    return found


def _lower(i: int, direction: str) -> Callable[[FrozenTrial], float]:
    """An objective for PED-ANOVA, to which lower is better."""
    sign = -1 if direction == "maximize" else 1
    return lambda trial: sign * trial.values[i]


def _parallel(study: Study, recipe: Recipe, trials: list[FrozenTrial]) -> list[Markup]:
    whole = [trial for trial in trials if trial.state == COMPLETE]
    if not whole:
        return []
    starred, axes = pareto_front(study), {}
    for key, label in short_names(list(recipe.space)).items():
        found = recipe.space[key]
        if isinstance(found, CategoricalDistribution):
            axes[label] = Axis(0, 0, choices=found.choices)
        else:
            axes[label] = Axis(found.low, found.high, found.log)
    for i, name in enumerate(recipe.objective):
        axes[name.rpartition("/")[2]] = plots.spread([trial.values[i] for trial in whole])
    traces = [([*(t.params[key] for key in recipe.space), *t.values], _colour(t, starred)) for t in trials]
    return [plots.parallel("Every trial across its settings", axes, traces)]


def _table(study: Study, recipe: Recipe) -> Markup:
    heading, *others = rows(study, recipe)
    return section("Every trial", content=table(heading, others))


def _footer(recipe: Recipe) -> Markup:
    kind = f"{recipe.sampler['class']}, seed {recipe.seed}; {recipe.pruner['class']}"
    fixed = "".join(f"; {key} {value}" for key, value in recipe.fixed.items())
    return fragment("<footer>{{ text }}</footer>", text=f"{recipe.path.name}: {kind}{fixed}")
