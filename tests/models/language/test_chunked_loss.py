"""The chunked loss equals the plain one, gradients too, and never holds all logits."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.language import chunked_loss
from models.language.chunked_loss import summed_cross_entropy


def sample(tokens=37, width=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, width, generator=generator, dtype=dtype)
    heads = [torch.randn(rows, width, generator=generator, dtype=dtype) for rows in (11, 30)]
    return hidden, heads, torch.randint(0, 41, (tokens,), generator=generator)


def gradients(loss, *tensors):
    return torch.autograd.grad(3.0 * loss, tensors, allow_unused=True)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunked_loss, "CHUNK_ENTRIES", 5 * 41)
    monkeypatch.setattr(chunked_loss, "WHOLE_ENTRIES", 0)


@pytest.mark.parametrize("tokens", [1, 5, 37])
def test_loss_and_gradients_equal_the_plain_ones(tokens):
    hidden, heads, targets = sample(tokens)
    leaves = [x.requires_grad_() for x in (hidden, *heads)]
    plain = F.cross_entropy(hidden @ torch.cat(heads).T, targets, reduction="sum")
    chunked, each = summed_cross_entropy(hidden, heads, targets)
    assert torch.allclose(chunked.double(), plain, rtol=1e-6) and not each.requires_grad
    assert torch.allclose(
        each.double(), F.cross_entropy(hidden @ torch.cat(heads).T, targets, reduction="none")
    )
    for ours, theirs in zip(gradients(chunked, *leaves), gradients(plain, *leaves), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_few_logits_are_computed_at_once(monkeypatch):
    hidden, heads, targets = sample(dtype=torch.float32)
    chunked = summed_cross_entropy(hidden, heads, targets)[0]
    monkeypatch.setattr(chunked_loss, "WHOLE_ENTRIES", 37 * 41)
    monkeypatch.setattr(chunked_loss, "_Chunked", None)
    assert torch.allclose(summed_cross_entropy(hidden, heads, targets)[0], chunked, rtol=1e-5)


@pytest.mark.parametrize("learns", [(True, False, False), (False, False, True), (False, False, False)])
def test_what_does_not_learn_gets_no_gradient(learns):
    hidden, heads, targets = sample(dtype=torch.float32)
    leaves = [x.requires_grad_(on) for x, on in zip((hidden, *heads), learns, strict=True)]
    loss = summed_cross_entropy(hidden, heads, targets)[0]
    assert loss.requires_grad == any(learns)
    if any(learns):
        loss.backward()
        plain = [x.detach().clone().requires_grad_(on) for x, on in zip(leaves, learns, strict=True)]
        F.cross_entropy(plain[0] @ torch.cat(plain[1:]).T, targets, reduction="sum").backward()
        for ours, theirs in zip(leaves, plain, strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            assert ours.grad is None or torch.allclose(ours.grad, theirs.grad, atol=1e-4)


def test_the_loss_of_no_tokens_is_zero():
    hidden, heads, targets = sample(0)
    loss, each = summed_cross_entropy(hidden.requires_grad_(), heads, targets)
    assert loss == 0 and len(each) == 0


def test_in_half_precision_the_heads_gradients_are_summed_in_single():
    hidden, heads, targets = sample(200, dtype=torch.bfloat16)
    leaves = [x.requires_grad_() for x in (hidden, *heads)]
    loss = summed_cross_entropy(hidden, heads, targets)[0]
    assert loss.dtype == torch.float32
    exact = [x.detach().float().requires_grad_() for x in leaves]
    F.cross_entropy(exact[0] @ torch.cat(exact[1:]).T, targets, reduction="sum").backward()
    loss.backward()
    for ours, theirs in zip(leaves, exact, strict=True):
        assert ours.grad.dtype == torch.bfloat16
        assert F.cosine_similarity(ours.grad.float().flatten(), theirs.grad.flatten(), 0) > 0.999


def test_products_are_in_the_precision_of_autocast():
    hidden, heads, targets = sample(dtype=torch.float32)
    leaves = [x.requires_grad_() for x in (hidden, *heads)]
    plain = summed_cross_entropy(*(leaves[0], leaves[1:]), targets)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = summed_cross_entropy(leaves[0], leaves[1:], targets)[0]
    assert loss != plain and torch.allclose(loss, plain, rtol=0.02)
    assert all(g.dtype == torch.float32 for g in gradients(loss, *leaves))


class Largest(TorchDispatchMode):
    """The most entries of any tensor that comes about."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        if isinstance(made, torch.Tensor):
            self.entries = max(self.entries, made.numel())
        return made


def test_all_logits_never_exist():
    hidden, heads, targets = sample(400, dtype=torch.float32)
    leaves = [x.requires_grad_() for x in (hidden, *heads)]
    with Largest() as largest:
        gradients(summed_cross_entropy(hidden, heads, targets)[0], *leaves)
    assert largest.entries == hidden.numel() < 400 * 41 // 4
