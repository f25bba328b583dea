"""What learns is in single precision; of the frozen weights only matrices may be kept in a half."""

import pytest
import torch

from models.language.weight_dtypes import (
    check_frozen_dtype,
    drawing_precision,
    export_state_dict,
    half_dtypes,
    set_weight_dtypes,
)
from tests.fixtures import make_tiny_illume
from tests.perturb import perturb


@pytest.fixture
def language():
    return perturb(make_tiny_illume()).language.requires_grad_(False)


def test_norms_and_biases_stay_in_single_precision(language):
    set_weight_dtypes(language, "float16")
    assert {p.dtype for p in language.parameters() if p.ndim == 1} == {torch.float32}
    assert {p.dtype for p in language.parameters() if p.ndim > 1} == {torch.float16}


def test_drawing_is_in_the_half_and_restores_the_weights(language):
    set_weight_dtypes(language, "bfloat16")
    before = {name: p.clone() for name, p in language.named_parameters()}
    assert half_dtypes(language) == {torch.bfloat16}
    with drawing_precision(language):
        assert {p.dtype for p in language.parameters()} == {torch.bfloat16} and not half_dtypes(language)
    assert all(
        torch.equal(p, before[name]) and p.dtype == before[name].dtype
        for name, p in language.named_parameters()
    )


def test_a_model_folder_holds_single_precision(language):
    set_weight_dtypes(language, "bfloat16")
    exported = export_state_dict(language)
    assert exported.keys() == language.state_dict().keys()
    assert {tensor.dtype for tensor in exported.values() if tensor.is_floating_point()} == {torch.float32}


def test_an_unknown_frozen_dtype_or_one_that_does_not_fit_is_refused():
    for given, message in (
        (("int8",), "frozen_dtype is 'int8'; there is float32, bfloat16, float16"),
        (("bfloat16", None, True), "this strategy spreads the weights instead"),
        (("bfloat16", "32-true"), "give --trainer.precision=bf16-mixed, not 32-true"),
    ):
        with pytest.raises(ValueError, match=message):
            check_frozen_dtype(*given)
    check_frozen_dtype("float32", "32-true", True)
    check_frozen_dtype("bfloat16", "bf16-mixed")


@pytest.mark.parametrize(("rate", "most"), [(1e-4, 0.30), (9e-6, 0.04)])
def test_most_updates_round_away_in_half_precision(rate, most):
    torch.manual_seed(0)
    shares = {}
    for dtype in (torch.bfloat16, torch.float32):
        weights = (0.02 * torch.randn(100_000)).to(dtype).requires_grad_()
        optimizer = torch.optim.AdamW([weights], lr=rate, betas=(0.9, 0.95), weight_decay=0)
        for _ in range(30):
            weights.grad = torch.randn_like(weights)
            before = weights.detach().clone()
            optimizer.step()
        shares[dtype] = float((weights != before).float().mean())
    assert shares[torch.bfloat16] < most and shares[torch.float32] > 0.98
