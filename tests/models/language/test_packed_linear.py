"""Products laid out for the device are the plain ones."""

import pytest
import torch
import torch.nn.functional as F

from models.language.packed_linear import addition, normed, can_pack, product


@pytest.mark.parametrize("rows", [1, 16, 40])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("copy", "dtype"), [(True, torch.float32), (False, torch.float32), (True, torch.float64)]
)
def test_products_are_the_plain_ones(rows, biased, copy, dtype):
    torch.manual_seed(0)
    weights = [torch.randn(n, 24, dtype=dtype) for n in (5, 300)]
    biases = [torch.randn(n, dtype=dtype) if biased else None for n in (5, 300)]
    x = torch.randn(rows, 24, dtype=dtype)
    plain = torch.cat([F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)], -1)
    assert torch.allclose(product(weights, biases, copy)(x), plain, atol=1e-5)
    to = torch.randn(rows, 300, dtype=dtype)
    before = to.clone()
    found = addition(weights[1], biases[1], copy)(to, x)
    assert torch.allclose(found, to + F.linear(x, weights[1], biases[1]), atol=1e-5)
    scale = 1 + torch.rand(24, dtype=dtype)
    found = normed(scale, 1e-2, weights, biases, copy)(x)
    parts = [F.linear(F.rms_norm(x, (24,), scale, 1e-2), w, b) for w, b in zip(weights, biases, strict=True)]
    assert torch.allclose(found, torch.cat(parts, -1), atol=2e-5)
    assert torch.equal(to, before)  # the residual that others hold is left as it is


def test_only_single_precision_on_a_cpu_has_an_order_of_its_own(monkeypatch):
    assert can_pack(torch.ones(2, 2)) == torch.backends.mkldnn.is_available()
    assert not can_pack(torch.ones(2, 2, dtype=torch.bfloat16)) and not can_pack(torch.ones(2, 2, device="meta"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(torch.ones(2, 2))
    assert torch.equal(product([torch.ones(3, 2)], [None])(torch.ones(1, 2)), torch.full((1, 3), 2.0))
