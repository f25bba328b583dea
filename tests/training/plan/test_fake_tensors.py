"""Stacks of equal layers are measured by two of their layers."""

import pytest

from tests.training.plan.planned import language_stage, usage
from training.plan import fake_tensors
from training.plan.fake_tensors import layer_stacks


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_two_layers_are_extrapolated_to_all(checkpointing, precision, monkeypatch):
    made = language_stage("meta")
    if checkpointing:
        made.model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    made.train()
    extrapolated = usage(made, precision=precision)
    assert [len(group[0]) for group in layer_stacks(made)] == [6]
    monkeypatch.setattr(fake_tensors, "MIN_LAYERS", 7)
    assert not layer_stacks(made)
    whole = usage(made, precision=precision)
    assert (extrapolated.forward, extrapolated.backward) == (whole.forward, whole.backward)
    assert extrapolated.kept == pytest.approx(whole.kept, rel=0.01)
    assert extrapolated.peaks == pytest.approx(whole.peaks, rel=0.02)
    assert all(p.is_meta for p in made.parameters()), "the module is as it was"
