"""Frechet distances against what can be worked out."""

import pytest
import torch

from evals.fidelity.frechet import (
    Gaussian,
    encoder_statistics,
    fd_encoder,
    frechet_distance,
    gaussian_distance,
)
from judges.pixels import render_scenes
from models.unified import Illume
from tests.evals.playground.scenes import blurred, sample_scenes
from worlds.playground.scene import Scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes()


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
        for one in (Gaussian.fit(x), Gaussian(x.mean(0), torch.cov(x.T))):
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
