"""Quantizers: nearest codes, straight-through gradients, no collapse; the tokenizer learns features."""

import numpy as np
import pytest
import torch

from models.tokenizer import quantizer
from models.tokenizer.augmentation import augment_view
from models.tokenizer.semantic import feature_loss
from models.tokenizer.quantizer import Quantizer, nearest_codes, perplexity
from models.tokenizer.semantic import SemanticTokenizer
from worlds.playground.judge import read, same_scene
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene


@pytest.mark.parametrize("kind", ["ema", "simvq", "plain"])
def test_gradient_passes_straight_through(kind):
    torch.manual_seed(0)
    quantizer = Quantizer(16, 4, kind)
    inputs = torch.randn(2, 5, 4, requires_grad=True)
    weight = torch.randn(2, 5, 4)
    (quantizer(inputs).vectors * weight).sum().backward()
    assert torch.allclose(inputs.grad, weight)


def test_nearest_is_nearest():
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


def test_ema_codes_do_not_collapse_even_far_from_where_they_began():
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
    with pytest.raises(ValueError, match="there is: ema, simvq, plain"):
        Quantizer(8, 2, "rq")


def test_feature_loss_is_zero_only_at_the_target():
    target = torch.randn(2, 3, 8)
    assert feature_loss(target, target) < 1e-6 < feature_loss(-target, target)


def test_the_tokenizer_learns_features():
    torch.manual_seed(0)
    tokenizer = SemanticTokenizer(
        feature_width=16, tokens=4, codes=32, code_width=4, decoder_layers=1, heads=2
    )
    kinds = torch.nn.functional.layer_norm(torch.randn(6, 16), (16,))
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    first = last = None
    for _ in range(150):
        loss = tokenizer(kinds[torch.randint(6, (16, 4))])
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        first, last = first or loss.feature.item(), loss.feature.item()
    assert last < 0.3 * first
    codes = tokenizer.eval().encode(kinds[None, :4])
    assert torch.allclose(tokenizer.decode(codes), tokenizer.decode(codes.clone()))


def test_another_view_changes_light_and_grain_and_nothing_else():
    torch.manual_seed(0)
    scene = sample_scene(np.random.default_rng(0), "color_attr")
    image = torch.from_numpy(render(scene)).permute(2, 0, 1)
    views = augment_view(image.expand(20, 3, 48, 48))
    assert views.shape == (20, 3, 48, 48) and views.dtype == torch.uint8
    assert len({view.numpy().tobytes() for view in views}) == 20
    assert (views.float() - image).abs().mean() > 3
    read_back = read(views.permute(0, 2, 3, 1).numpy())
    assert np.mean([same_scene(reading, scene) for reading in read_back]) > 0.8


def test_the_pull_of_views_brings_their_codes_together():
    torch.manual_seed(0)
    features = torch.randn(64, 9, 16)
    others = features + torch.tensor([1.0] + [0.0] * 15) * torch.randn(64, 9, 1)  # differ along one channel
    apart = {}
    for weight in (0.0, 4.0):
        torch.manual_seed(1)
        tokenizer = SemanticTokenizer(16, 9, codes=32, code_width=4, decoder_layers=1, heads=2)
        optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
        for _ in range(150):
            loss = tokenizer(features).total + weight * tokenizer.view_loss(features, others)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tokenizer.eval()
        apart[weight] = (tokenizer.encode(features) != tokenizer.encode(others)).float().mean()
    assert apart[4.0] < 0.7 * apart[0.0]


@pytest.mark.parametrize("entries", [1, 50, 2**18])
def test_the_nearest_code_is_found_a_part_at_a_time(entries, monkeypatch):
    monkeypatch.setattr(quantizer, "MAX_DISTANCES_CPU", entries)
    torch.manual_seed(0)
    vectors, codebook = torch.randn(37, 8), torch.randn(20, 8)
    assert torch.equal(nearest_codes(vectors, codebook), torch.cdist(vectors, codebook).argmin(1))
    assert nearest_codes(vectors[:0], codebook).shape == (0,)
