"""Distances, sharpness and code counts against what can be worked out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evals.fidelity.frechet import (
    Gaussian,
    encoder_statistics,
    fd_encoder,
    frechet_distance,
    gaussian_distance,
)
from evals.playground.codebook import TOKENS_A_CODE, codebook_scores, usage
from evals.playground.reconstruction import exactly_right, rebuild, reconstruction_scores
from evals.playground.sharpness import sharpness
from judges.pixels import render_scenes
from models.unified import Illume
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(5)
    return [sample_scene(rng, CATEGORIES[i % 6], None) for i in range(48)]


def blurred(images: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(images.float(), 3, 1, 1, count_include_pad=False).round().to(torch.uint8)


def test_frechet_distance_of_diagonal_normals() -> None:
    torch.manual_seed(0)
    a = torch.randn(20000, 4)
    b = torch.randn(20000, 4) * 3 + 2
    assert frechet_distance(a, b) == pytest.approx(4 * (2**2 + (3 - 1) ** 2), rel=0.03)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_by_the_root_of_the_product() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(50, 5, generator=generator) @ torch.randn(5, 5, generator=generator) for _ in "ab")
    s, t = (torch.cov(x.T.double()) for x in (a, b))
    root = torch.linalg.eigvals(s @ t).sqrt().real.sum()
    expected = (a.double().mean(0) - b.double().mean(0)).square().sum() + s.trace() + t.trace() - 2 * root
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize(("many", "few"), [(40, 7), (7, 40), (7, 5)])
def test_frechet_distance_of_fewer_images_than_features(many: int, few: int) -> None:
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(n, 12, generator=generator).double() for n in (many, few))
    plain = [
        Gaussian(x.mean(0), torch.cov(x.T)) for x in (a, b)
    ]  # as statistics come, without the images' rows
    assert frechet_distance(a, b) == pytest.approx(gaussian_distance(*plain), rel=1e-6)


def test_a_covariance_has_a_root_whatever_its_rank() -> None:
    generator = torch.Generator().manual_seed(3)
    for count in (7, 40):
        x = torch.randn(count, 12, generator=generator).double()
        for one in (Gaussian.fitted(x), Gaussian(x.mean(0), torch.cov(x.T))):
            assert torch.allclose(one.root.T @ one.root, torch.cov(x.T), atol=1e-12)


def test_frechet_distance_of_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="2 images or more"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))


def test_fd_encoder_grows_with_blur(tiny_illume: Illume, scenes: list[Scene]) -> None:
    images = render_scenes(scenes)
    assert encoder_statistics(tiny_illume, images).shape == (48, 64)
    once, twice = blurred(images), blurred(blurred(images))
    distances = [fd_encoder(tiny_illume, x, images) for x in (images, once, twice)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances[0] < distances[1] < distances[2]


def test_sharpness_is_one_of_the_truth_falls_with_blur_and_grows_with_grain(scenes: list[Scene]) -> None:
    images = render_scenes(scenes)
    assert sharpness(images, images) == pytest.approx({"fine": 1, "middle": 1, "coarse": 1})
    soft = sharpness(blurred(images), images)
    assert soft["fine"] < 0.5 and soft["fine"] < soft["middle"] < soft["coarse"] < 1.05
    noise = 20 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    grainy = sharpness((images + noise).clamp(0, 255).to(torch.uint8), images)
    assert grainy["fine"] > 1.3 and grainy["fine"] - 1 > 3 * abs(grainy["coarse"] - 1)


def test_codebook_use_of_known_codes() -> None:
    even = usage(torch.arange(8).repeat(5), 16)
    assert (even["codebook/used"], even["codebook/perplexity_share"]) == pytest.approx((0.5, 0.5))
    assert usage(torch.zeros(40, dtype=torch.long), 16)["codebook/perplexity"] == pytest.approx(1)


def test_codebook_is_counted_over_enough_tokens(tiny_illume: Illume) -> None:
    scores = codebook_scores(tiny_illume)
    assert scores["codebook/tokens_counted"] >= TOKENS_A_CODE * 64
    assert 0 < scores["codebook/used"] <= 1


def test_reconstruction_scores_tell_truth_from_blur_and_from_others(
    tiny_illume: Illume, scenes: list[Scene]
) -> None:
    images = render_scenes(scenes)
    assert exactly_right(images, scenes) == 1.0
    assert exactly_right(images.roll(1, 0), scenes) < 0.05
    rebuilt = rebuild(tiny_illume, 12)
    scores = reconstruction_scores(tiny_illume, rebuilt)
    assert scores["reconstruction/judge_on_truth"] == 1.0
    assert scores["reconstruction/exact"] < 0.5  # the model is random
    assert {"stem_alone/exact", "stem_alone/fd_encoder", "stem_alone/sharpness_fine"} <= scores.keys()
