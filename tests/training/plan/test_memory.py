"""Weights, gradients and moments against those of a real step; shares of several devices."""

import pytest
import torch

from tests.training.plan.planned import ALONE, language_stage, loss, usage
from training.plan.memory import memory_of_step, optimizers_of


@pytest.mark.parametrize("muon", [(), ("trunk",)])
def test_weights_gradients_and_moments_are_those_of_a_real_step(muon):
    real, planned = language_stage(muon=muon), language_stage("meta", muon)
    real.train()
    loss(real).backward()
    found = optimizers_of(real)
    for optimizer in found:
        optimizer.step()
    state = [
        t for o in found for s in o.state.values() for t in s.values() if torch.is_tensor(t) and t.numel() > 1
    ]
    memory = memory_of_step(planned, ALONE, set(), usage(planned))
    weights = [*real.parameters(), *real.buffers()]
    assert memory.weights == sum(t.numel() * t.itemsize for t in weights)
    gradients = [p.grad for p in real.parameters() if p.grad is not None]
    assert memory.gradients == sum(t.numel() * t.itemsize for t in gradients)
    assert memory.optimizer == sum(t.numel() * t.itemsize for t in state)


def test_half_precision_and_shares():
    made = language_stage("meta")
    used = usage(made)
    whole = memory_of_step(made, ALONE, set(), used)
    mixed = usage(made, precision="bf16-mixed")
    assert mixed.copies > 0 and used.copies == 0
    every = memory_of_step(made, ALONE._replace(devices=4, strategy="ddp"), set(), used)
    assert every.buckets == every.gradients == whole.gradients
    shared = {id(p) for p in made.model.language.parameters()} - {
        id(p) for p in made.model.language.adapter.parameters()
    }
    spread = memory_of_step(made, ALONE._replace(devices=4, strategy="fsdp2"), shared, used)
    adapter = sum(p.numel() * 4 for p in made.model.language.adapter.parameters())
    assert spread.gradients == pytest.approx((whole.gradients - adapter) / 4 + adapter)
    assert spread.gathered > 0 and spread.buckets == 0
