"""A run that does not fit, and the setting that is named: planned with it, the run fits."""

import pytest

import train
from training import devices
from training.plan.advice import _spread, advise
from training.plan.options import Options
from training.plan.plan import plan_run
from training.plan.report import report


def planned(argv, only_memory=True):
    return plan_run(train.build_modules(argv), train.build_modules, Options("cpu"), only_memory)


@pytest.mark.parametrize(
    ("argv", "room", "named"),
    [
        (["--config", "stage1.yaml", "--trainer.strategy", "auto"], 0.75, "gradient_checkpointing=true"),
        (["--config", "tokenizer.yaml"], 0.6, "batch_size=8"),
        (["--config", "tokenizer.yaml"], 0.01, None),
    ],
)
def test_what_is_named_makes_it_fit(argv, room, named, monkeypatch):
    at_first = planned(argv)
    limit = at_first.memory.total * room / devices.GIB
    monkeypatch.setitem(devices.DEVICES, "cpu", devices.DEVICES["cpu"]._replace(memory=limit))
    plan = planned(argv)
    assert not plan.fits
    advice = advise(train.build_modules(argv), plan, lambda more: planned([*argv, *more]))
    if named is None:
        assert advice.plan is None and "No setting" in "".join(advice.lines())
        return
    assert named in " ".join(advice.arguments)
    assert planned([*argv, *advice.arguments]).fits
    said = report(plan, advice)
    assert "Does not fit: " in said and f"Fits with {' '.join(advice.arguments)}" in said


def test_more_machines_make_fewer_micro_batches_of_the_same_step():
    smallest = ["--data.init_args.sequences_per_batch=1", "--trainer.accumulate_grad_batches=21"]
    assert _spread(smallest, 2) == [smallest[0], "--trainer.accumulate_grad_batches=10"]
    assert _spread(smallest, 32) == [smallest[0], "--trainer.accumulate_grad_batches=1"]
    assert _spread([], 2) == []
