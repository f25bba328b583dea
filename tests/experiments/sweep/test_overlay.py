"""Settings laid over a config by dotted keys."""

import pytest

from experiments.sweep.overlay import locate, overlay
from tests.experiments.sweep.world import SETTINGS

LISTED = {"trainer": {"callbacks": [{"class_path": "A", "init_args": {"n": 1, "m": 2}}]}}
NESTED = {
    "model": {"class_path": "A", "init_args": {"part": {"class_path": "B", "init_args": {"lr": 1, "n": 2}}}}
}


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
def test_unknown_and_repeated_keys_are_named(keys, line):
    with pytest.raises(ValueError) as error:
        overlay(SETTINGS, dict.fromkeys(keys, 1), "x.yaml")
    assert str(error.value).startswith("x.yaml: ") and line in str(error.value)
