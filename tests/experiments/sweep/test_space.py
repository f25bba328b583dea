"""Values of a space, and the settings they become."""

import optuna
import pytest

from experiments.sweep.space import candidates, decode, midpoint, propose, read_space

GIVEN = {
    "rate": {"type": "float", "low": "1e-4", "high": 1.0, "log": True},
    "steps": {"type": "int", "low": 1, "high": 9, "step": 4},
    "parts": {"type": "categorical", "choices": [["trunk"], [], None, "[", True]},
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
