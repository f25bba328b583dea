"""What a plan counts against what a real step of the same stage takes."""

import pytest
import torch

from tests.training.plan.planned import LOAD, language_stage, loss, usage


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_what_autograd_keeps_of_a_real_step(checkpointing):
    real, planned = language_stage(), language_stage("meta")
    for made in (real, planned):
        if checkpointing:
            made.model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
        made.train()
    weights = {t.untyped_storage().data_ptr() for t in (*real.parameters(), *real.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss(real)
    size = sum(size for size, _ in kept.values())
    if checkpointing:  # the hooks of checkpointing hide what it keeps
        assert usage(planned).kept < 0.5 * usage(planned, checkpointing=False).kept
    else:
        assert usage(planned).kept == pytest.approx(size, rel=0.1)


def test_checkpointing_keeps_less_and_recomputes_more():
    made = language_stage("meta")
    made.model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    made.train()
    on, off = usage(made), usage(made, checkpointing=False)
    assert on.kept < 0.3 * off.kept and on.peak < off.peak
    again = on.backward - off.backward
    layers = on.forward - usage(made, LOAD._replace(texts=0, codes=0)).forward
    assert on.forward == off.forward and 0.5 * on.forward < again < on.forward - layers
