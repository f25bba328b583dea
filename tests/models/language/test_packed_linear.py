"""Packed products are the plain ones."""

import pytest
import torch
import torch.nn.functional as F

from models.language.packed_linear import can_pack, packed_add_linear, packed_linear, packed_norm_linear


@pytest.mark.parametrize("rows", [1, 16, 40])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("copy", "dtype"), [(True, torch.float32), (False, torch.float32), (True, torch.float64)]
)
def test_packed_products_equal_plain_ones(rows, biased, copy, dtype):
    torch.manual_seed(0)
    weights = [torch.randn(n, 24, dtype=dtype) for n in (5, 300)]
    biases = [torch.randn(n, dtype=dtype) if biased else None for n in (5, 300)]
    x = torch.randn(rows, 24, dtype=dtype)
    plain = torch.cat([F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)], -1)
    assert torch.allclose(packed_linear(weights, biases, copy)(x), plain, atol=1e-5)
    residual = torch.randn(rows, 300, dtype=dtype)
    before = residual.clone()
    found = packed_add_linear(weights[1], biases[1], copy)(residual, x)
    assert torch.allclose(found, residual + F.linear(x, weights[1], biases[1]), atol=1e-5)
    scale = 1 + torch.rand(24, dtype=dtype)
    found = packed_norm_linear(scale, 1e-2, weights, biases, copy)(x)
    parts = [F.linear(F.rms_norm(x, (24,), scale, 1e-2), w, b) for w, b in zip(weights, biases, strict=True)]
    assert torch.allclose(found, torch.cat(parts, -1), atol=2e-5)
    assert torch.equal(residual, before)  # the residual that others hold is left as it is


def test_only_single_precision_on_a_cpu_is_packed(monkeypatch):
    assert can_pack(torch.ones(2, 2)) == torch.backends.mkldnn.is_available()
    assert not can_pack(torch.ones(2, 2, dtype=torch.bfloat16)) and not can_pack(
        torch.ones(2, 2, device="meta")
    )
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(torch.ones(2, 2))
    assert torch.equal(packed_linear([torch.ones(3, 2)], [None])(torch.ones(1, 2)), torch.full((1, 3), 2.0))
