"""Values of a space, and the settings they become."""

import optuna
import pytest

from experiments.sweep.overlay import locate, overlay
from experiments.sweep.space import candidates, decode, midpoint, propose, read_space
from tests.experiments.sweep.world import SETTINGS

GIVEN = {
    "rate": {"type": "float", "low": "1e-4", "high": 1.0, "log": True},
    "steps": {"type": "int", "low": 1, "high": 9, "step": 4},
    "parts": {"type": "categorical", "choices": [["trunk"], [], None, "[", True]},
}
LISTED = {"trainer": {"callbacks": [{"class_path": "A", "init_args": {"n": 1, "m": 2}}]}}
NESTED = {
    "model": {"class_path": "A", "init_args": {"part": {"class_path": "B", "init_args": {"lr": 1, "n": 2}}}}
}


def test_every_choice_comes_back_as_it_was():
    space = read_space(GIVEN, "x.yaml")
    assert [decode(choice) for choice in space["parts"].choices] == GIVEN["parts"]["choices"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        values = propose(study.ask(), space)
        assert 1e-4 <= values["rate"] <= 1 and values["steps"] in (1, 5, 9)
        assert values["parts"] in GIVEN["parts"]["choices"]


def test_candidates_hold_every_end_and_every_choice():
    space = read_space(GIVEN, "x.yaml")
    found = candidates(space)
    assert len(found) == 5
    assert {v["rate"] for v in found} == {1e-4, 1.0} and {v["steps"] for v in found} == {1, 9}
    assert [v["parts"] for v in found] == GIVEN["parts"]["choices"]
    assert [midpoint(space[key]) for key in GIVEN] == [pytest.approx(1e-2), 5, ["trunk"]]


def test_init_args_may_be_left_out():
    assert locate(SETTINGS, "model.lr", "x") == ["model", "init_args", "lr"]
    assert locate(SETTINGS, "model.learning_rates.trunk", "x") == [
        "model",
        "init_args",
        "learning_rates",
        "trunk",
    ]


def test_an_argument_is_laid_over_whole_and_no_other():
    assert overlay(SETTINGS, {"model.lr": 1, "trainer.max_steps": 5}, "x") == {
        "model": {"init_args": {"lr": 1}},
        "trainer": {"max_steps": 5},
    }
    changed = overlay(SETTINGS, {"model.learning_rates.trunk": 7, "seed_everything": 3}, "x")
    assert changed == {
        "model": {"init_args": {"learning_rates": {"trunk": 7, "text": 0.1}}},
        "seed_everything": 3,
    }
    both = overlay(SETTINGS, {"model.learning_rates.trunk": 7, "model.init_args.learning_rates.text": 8}, "x")
    assert both == {"model": {"init_args": {"learning_rates": {"trunk": 7, "text": 8}}}}
    assert overlay(NESTED, {"model.part.lr": 3}, "x") == {
        "model": {"init_args": {"part": {"init_args": {"lr": 3}}}}
    }
    assert overlay(LISTED, {"trainer.callbacks.0.n": 3}, "x") == {
        "trainer": {"callbacks": [{"class_path": "A", "init_args": {"n": 3, "m": 2}}]}
    }
    assert SETTINGS["model"]["init_args"]["learning_rates"]["trunk"] == 0.1


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            ["model.learning_rates.trnk"],
            "model.learning_rates.trnk: model.init_args.learning_rates has no 'trnk': did you mean trunk?",
        ),
        (["modle.lr"], "modle.lr: a config has no 'modle': did you mean model?"),
        (["model.lr.x"], "model.init_args.lr has no 'x': there is none"),
        (
            ["model.lr", "model.init_args.lr"],
            "model.lr and model.init_args.lr are settings of the same thing",
        ),
        (
            ["model.learning_rates", "model.learning_rates.trunk"],
            "are settings of the same thing: leave one out",
        ),
    ],
)
def test_a_key_that_is_unknown_or_said_twice_is_told(keys, line):
    with pytest.raises(ValueError) as error:
        overlay(SETTINGS, dict.fromkeys(keys, 1), "x.yaml")
    assert str(error.value).startswith("x.yaml: ") and line in str(error.value)
