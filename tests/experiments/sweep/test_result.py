"""What a sweep calls its best: never a value that is no finite number."""

from math import inf

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from experiments.sweep.result import best, pareto_front

EVIL = "<script>document.title='PWNED'</script>|\x1b[2J"
RECIPE = """
base: playground/language.yaml
space: {{model.init_args.warmup_steps: {{type: categorical, choices: [a, "{choice}"]}}}}
objective: {objective}
trials: 4
name: "evil"
"""


def study_of(directions, *values, choice="a", choices=("a", EVIL)):
    study = optuna.create_study(directions=directions)
    key = "model.init_args.warmup_steps"
    for value in values:
        made = create_trial(
            values=value, params={key: choice}, distributions={key: CategoricalDistribution(choices)}
        )
        study.add_trial(made)
    return study


@pytest.mark.parametrize(
    ("direction", "values"), [("minimize", (-inf, 3.0, inf)), ("maximize", (inf, 3.0, -inf))]
)
def test_infinite_values_win_nothing(direction, values):
    study = study_of([direction], *([value] for value in values))
    assert best(study).number == 1 and pareto_front(study) == {1}


def test_no_finite_value_is_no_best():
    assert best(study_of(["minimize"], [inf], [-inf])) is None


def test_a_front_holds_finite_values_only():
    study = study_of(["minimize", "maximize"], [-inf, 9.0], [1.0, 1.0], [2.0, 2.0], [3.0, 0.0], [2.0, 2.0])
    assert pareto_front(study) == {1, 2, 4} and best(study).number == 1
