"""Trials of a sweep that several processes share."""

import time

import optuna
import pytest

from experiments.sweep.claims import Claims, TrialLost
from experiments.sweep.recipe import read_recipe


def test_a_trial_elsewhere_is_taken_over_when_its_heartbeat_stands_still(world, monkeypatch):
    """Two folders are two machines, which see nothing of each other but the store."""
    monkeypatch.setattr("experiments.sweep.claims.DEAD_SECONDS", 0.3)
    monkeypatch.setattr("experiments.sweep.claims.HEARTBEAT_SECONDS", 0.0)
    recipe = read_recipe(world / "small.yaml")
    storage = optuna.storages.RDBStorage(f"sqlite:///{world / 'shared.db'}")
    here, there = (
        Claims(
            optuna.create_study(storage=storage, study_name="s", load_if_exists=True),
            world / name,
            1,
            recipe.sampler_for,
        )
        for name in ("here", "there")
    )
    mine = there.next()
    for _ in range(6):
        mine.beat()
        for _ in range(2):  # the second sees a beat that stands still, but not for long
            assert here.next() is None
            time.sleep(0.05)
    time.sleep(0.3)
    taken = here.next()
    assert taken is not None and taken.trial.number == mine.trial.number == 0
    taken.beat()
    with pytest.raises(TrialLost, match="trial 0 was taken over"):
        mine.beat()


def test_a_surplus_trial_does_not_count(world):
    recipe = read_recipe(world / "small.yaml")
    study = optuna.create_study(storage=f"sqlite:///{world / 'shared.db'}")
    here, there = (Claims(study, world / name, 2, recipe.sampler_for) for name in ("here", "there"))
    first, second = here.next(), there.next()
    assert [first.trial.number, second.trial.number] == [0, 1]
    assert there._new() is None, "as if both had found room for one more"
    assert len(here.counted()) == 2 and here.next() is None
