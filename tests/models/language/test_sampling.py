"""Sampling by inverse CDF: the distribution, its limits, and rows with settings of their own."""

import pytest
import torch

from models.generation import SamplingConfig
from models.language.sampling import BLOCK, Sampler, apply_guidance, sample_inverse_cdf, uniform_noise

LOGITS = torch.log(torch.tensor([[0.5, 0.2, 0.3]])).expand(4000, 3)
NOISE = uniform_noise([0], 4000)[0]


def drawn(**settings):
    return Sampler([SamplingConfig(**settings)] * 4000)(LOGITS, NOISE)


def shares(codes):
    return torch.bincount(codes, minlength=3) / len(codes)


def test_samples_follow_the_distribution():
    assert torch.allclose(shares(drawn()), torch.tensor([0.5, 0.2, 0.3]), atol=0.03)
    sharper = torch.tensor([0.25, 0.04, 0.09]) / 0.38
    assert torch.allclose(shares(drawn(temperature=0.5)), sharper, atol=0.03)
    assert torch.equal(uniform_noise([7, 3], 5)[1], uniform_noise([3], 5)[0])


def test_top_k_and_top_p_drop_the_least_likely():
    assert set(drawn(top_k=2).tolist()) == {0, 2} and set(drawn(top_k=3).tolist()) == {0, 1, 2}
    assert torch.allclose(shares(drawn(top_k=2)), torch.tensor([0.625, 0.0, 0.375]), atol=0.03)
    assert set(drawn(top_p=0.4).tolist()) == {0}
    assert torch.allclose(shares(drawn(top_p=0.75)), torch.tensor([0.625, 0.0, 0.375]), atol=0.03)
    assert set(drawn(temperature=0).tolist()) == set(drawn(top_k=1).tolist()) == {0}
    assert torch.equal(drawn(top_k=500), drawn())


def test_each_row_samples_by_its_own_settings():
    torch.manual_seed(0)
    logits, noise = torch.randn(5, 40), uniform_noise([4], 5)[0]
    configs = [
        SamplingConfig(1.0, temperature, top_k, top_p)
        for temperature, top_k, top_p in (
            (1.0, 0, 1.0),
            (0.0, 3, 1.0),
            (0.5, 2, 0.9),
            (2.0, 0, 0.3),
            (1.0, 5, 0.5),
        )
    ]
    together = Sampler(configs)(logits, noise)
    for i in range(5):
        alone = Sampler(configs[i : i + 1])
        assert alone(logits[i : i + 1], noise[i : i + 1]) == together[i]
    assert together[1] == logits[1].argmax()


def test_noise_at_the_edges_samples_only_what_has_weight():
    sure = torch.tensor([[0.0, 0.0, -torch.inf]])
    for noise in (0.0, 0.4999, 0.9999999):
        assert Sampler([SamplingConfig()])(sure, torch.tensor([noise])) < 2


@pytest.mark.parametrize("size", [3, BLOCK, 1000, 16_384])
def test_blockwise_search_agrees_with_one_running_sum(size):
    torch.manual_seed(1)
    weights = (3 * torch.randn(500, size)).exp()
    noise = uniform_noise([5], 500)[0]
    cumulative = weights.double().cumsum(-1)
    one_by_one = torch.searchsorted(cumulative, noise[:, None].double() * cumulative[:, -1:], right=True)[
        :, 0
    ]
    assert (sample_inverse_cdf(weights, noise) == one_by_one).float().mean() >= 0.99  # the rest is rounding


def test_codes_without_weight_are_never_sampled():
    weights = torch.zeros(1, 4 * BLOCK)
    weights[0, [5, BLOCK + 1, 3 * BLOCK - 2]] = torch.tensor([1e-3, 1.0, 0.3])
    edges = weights.cumsum(-1)[0, [5, BLOCK + 1, 3 * BLOCK - 2]] / weights.sum()
    near = torch.cat([edges + step for step in torch.arange(-40, 40) * 2**-25]).clamp(0, 1)
    taken = sample_inverse_cdf(weights.expand(len(near), -1), near)
    assert set(taken.tolist()) == {5, BLOCK + 1, 3 * BLOCK - 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"temperature": [1.0, 1.0]},
        {"top_k": [[1]]},
        {"top_k": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError):
        Sampler([SamplingConfig(**wrong)] * 3)


def test_guidance_of_one_is_the_condition_and_logits_are_as_good_as_log_probabilities():
    c, u = torch.randn(2, 9), torch.randn(2, 9)
    assert torch.allclose(apply_guidance(c, u, 1.0), c, atol=1e-6)
    logs = [x.log_softmax(-1) for x in (c, u)]
    guided = apply_guidance(c, u, 3.0).softmax(-1)
    assert torch.allclose(guided, apply_guidance(*logs, 3.0).softmax(-1), atol=1e-6)
