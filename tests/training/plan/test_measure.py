"""What a plan counts against what a real step of the same module takes."""

from types import SimpleNamespace

import pytest
import torch

from lightning_modules.language import LanguageModule
from models.language.unified_lm import UnifiedLM
from models.unified import Illume
from tests.fixtures import TRUNK
from tests.fixtures import make_tiny_illume as tiny
from training.plan import fake_tensors as hollow
from training.plan import steps
from training.plan.fake_tensors import stacks_in
from training.plan.measure import compute_types, measure
from training.plan.memory import memory_of_step, optimizers_of
from training.plan.placing import Placing
from training.plan.samples import Load
from training.plan.steps import Phase

DEEP = TRUNK | {"num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 128}
RATES = {"trunk": 1e-3, "text": 1e-3, "adapter": 1e-3, "vision": 1e-3}
LOAD = Load(rows=3, length=128, seen=6, drawn=3, encoded=6, words=40, codes=108, samples=9.0)
PLACING = Placing(1, 1, "single", "32-true", 1, 10, False)


def module(device="cpu", muon=()):
    """A language stage with a trunk of six layers; on a device, for it to be counted or to run."""
    made = LanguageModule(RATES, {}, muon=list(muon))
    whole = tiny()
    with torch.device(device):
        language = UnifiedLM(DEEP, len(whole.text_tokenizer), 64, 32, 36, 36, backend="mask")
    parts = {"encoder": whole.encoder, "tokenizer": whole.tokenizer}
    for part in parts.values():
        part.requires_grad_(False)
    if device == "meta":
        parts = {name: part.to("meta") for name, part in parts.items()}
    made.model = Illume(**parts, language=language, text_tokenizer=whole.text_tokenizer)
    made._trainer = SimpleNamespace(max_steps=10)
    return made


def loss_of(load):
    return lambda made: steps._language(made, load, 48)


def counted(made, load=LOAD, precision="32-true", **more):
    phase = Phase(1.0, lambda load: steps._language(made, load, 48))
    return measure(made, phase, load, precision, compute_types(made, precision, set()), **more)


def test_operations_are_those_of_the_formula():
    """Six a parameter and token where it learns, as is usual; attention over whole rows, and heads where learned."""
    made = module("meta")
    tokens, width, layers = LOAD.rows * LOAD.length, 64, 6
    matrices = layers * (4 * width * width + 3 * width * 128)
    attention = layers * LOAD.rows * 4 * LOAD.length**2 * width
    heads = sum(len(head) for head in (made.model.language.text_head, made.model.language.vision_head))
    head = 2 * (LOAD.words + LOAD.codes) * heads * width
    adapter = 2 * LOAD.seen * 36 * (32 * width + width * width)
    frozen = made.model.encoder, made.model.tokenizer
    used = counted(made)
    alone = counted(made, LOAD._replace(encoded=0, drawn=0, seen=0))
    trunk = 2 * tokens * matrices + attention + head
    assert alone.forward == pytest.approx(trunk, rel=0.01)
    assert alone.backward == pytest.approx(
        2 * trunk + 0.5 * attention, rel=0.02
    )  # whose scores are made again
    assert used.forward > trunk + adapter and all(
        not p.requires_grad for part in frozen for p in part.parameters()
    )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_what_autograd_keeps_of_a_real_step(checkpointing):
    real, planned = module(), module("meta")
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
        steps._language(real, LOAD, 48)
    size = sum(size for size, _ in kept.values())
    if checkpointing:  # the hooks of checkpointing hide what it keeps
        assert counted(planned).kept < 0.5 * counted(planned, checkpointing=False).kept
    else:
        assert counted(planned).kept == pytest.approx(size, rel=0.1)


def test_less_is_kept_and_more_is_made_again_with_checkpointing():
    made = module("meta")
    made.model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    made.train()
    on, off = counted(made), counted(made, checkpointing=False)
    assert on.kept < 0.3 * off.kept and on.peak < off.peak
    again = on.backward - off.backward
    layers = on.forward - counted(made, LOAD._replace(words=0, codes=0)).forward
    assert on.forward == off.forward and 0.5 * on.forward < again < on.forward - layers


@pytest.mark.parametrize("muon", [(), ("trunk",)])
def test_weights_gradients_and_moments_are_those_of_a_real_step(muon):
    real, planned = module(muon=muon), module("meta", muon)
    real.train()
    steps._language(real, LOAD, 48).backward()
    found = optimizers_of(real)
    for optimizer in found:
        optimizer.step()
    state = [
        t for o in found for s in o.state.values() for t in s.values() if torch.is_tensor(t) and t.numel() > 1
    ]
    memory = memory_of_step(planned, PLACING, set(), counted(planned))
    weights = [*real.parameters(), *real.buffers()]
    assert memory.weights == sum(t.numel() * t.itemsize for t in weights)
    gradients = [p.grad for p in real.parameters() if p.grad is not None]
    assert memory.gradients == sum(t.numel() * t.itemsize for t in gradients)
    assert memory.optimizer == sum(t.numel() * t.itemsize for t in state)


def test_half_precision_and_shares():
    made = module("meta")
    used = counted(made)
    whole = memory_of_step(made, PLACING, set(), used)
    mixed = counted(made, precision="bf16-mixed")
    assert mixed.copies > 0 and used.copies == 0
    every = memory_of_step(made, PLACING._replace(devices=4, strategy="ddp"), set(), used)
    assert every.buckets == every.gradients == whole.gradients
    shared = {id(p) for p in made.model.language.parameters()} - {
        id(p) for p in made.model.language.adapter.parameters()
    }
    spread = memory_of_step(made, PLACING._replace(devices=4, strategy="fsdp2"), shared, used)
    adapter = sum(p.numel() * 4 for p in made.model.language.adapter.parameters())
    assert spread.gradients == pytest.approx((whole.gradients - adapter) / 4 + adapter)
    assert spread.gathered > 0 and spread.buckets == 0


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_two_layers_tell_of_all(checkpointing, precision, monkeypatch):
    made = module("meta")
    if checkpointing:
        made.model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    made.train()
    drawn_out = counted(made, precision=precision)
    assert [len(group[0]) for group in stacks_in(made)] == [6]
    monkeypatch.setattr(hollow, "LEAST", 7)
    assert not stacks_in(made)
    whole = counted(made, precision=precision)
    assert (drawn_out.forward, drawn_out.backward) == (whole.forward, whole.backward)
    assert drawn_out.kept == pytest.approx(whole.kept, rel=0.01)
    assert drawn_out.peaks == pytest.approx(whole.peaks, rel=0.02)
    assert all(p.is_meta for p in made.parameters()), "the module is as it was"
