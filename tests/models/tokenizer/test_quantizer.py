"""Nearest codes, straight-through gradients, and codebooks that do not collapse."""

import pytest
import torch

from models.tokenizer import quantizer
from models.tokenizer.quantizer import Quantizer, nearest_codes, perplexity


@pytest.mark.parametrize("kind", ["ema", "simvq", "plain"])
def test_gradient_passes_straight_through(kind):
    torch.manual_seed(0)
    quantizer = Quantizer(16, 4, kind)
    inputs = torch.randn(2, 5, 4, requires_grad=True)
    weight = torch.randn(2, 5, 4)
    (quantizer(inputs).vectors * weight).sum().backward()
    assert torch.allclose(inputs.grad, weight)


def test_nearest_codes_equal_brute_force():
    vectors, codebook = torch.randn(50, 4), torch.randn(9, 4)
    assert torch.equal(nearest_codes(vectors, codebook), torch.cdist(vectors, codebook).argmin(1))


def use_of_codes(quantizer: Quantizer, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of codes used and perplexity on Gaussian inputs, after 200 batches of them."""
    optimizer = torch.optim.Adam([*quantizer.parameters(), torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    for _ in range(200):
        loss = quantizer(shift + torch.randn(256, 4)).loss
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    counts = torch.bincount(quantizer.eval()(shift + torch.randn(4096, 4)).codes, minlength=64).float()
    return (counts > 0).float().mean(), perplexity(counts)


def test_ema_codes_do_not_collapse():
    torch.manual_seed(0)
    used, ppl = use_of_codes(Quantizer(64, 4, "ema"), shift=5)
    assert used > 0.9 and ppl > 32


def test_simvq_codes_are_all_in_use():
    torch.manual_seed(0)
    used, ppl = use_of_codes(Quantizer(64, 4, "simvq"), shift=0)
    assert used > 0.9 and ppl > 32


def test_dead_codes_are_reborn():
    torch.manual_seed(0)
    quantizer = Quantizer(8, 2)
    quantizer(torch.randn(64, 2))
    quantizer.table[3] = 1e3  # nothing is ever near it
    for _ in range(120):
        quantizer(torch.randn(64, 2))
    assert quantizer.table.abs().max() < 10


def test_unknown_quantizer_is_refused():
    with pytest.raises(ValueError, match="quantizer .rq. is not known: there is ema, plain, simvq"):
        Quantizer(8, 2, "rq")


@pytest.mark.parametrize("entries", [1, 50, 2**18])
def test_chunked_nearest_codes_are_equal(entries, monkeypatch):
    monkeypatch.setattr(quantizer, "MAX_DISTANCES_CPU", entries)
    torch.manual_seed(0)
    vectors, codebook = torch.randn(37, 8), torch.randn(20, 8)
    assert torch.equal(nearest_codes(vectors, codebook), torch.cdist(vectors, codebook).argmin(1))
    assert nearest_codes(vectors[:0], codebook).shape == (0,)
