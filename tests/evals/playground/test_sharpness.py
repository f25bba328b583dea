"""Sharpness against blur and noise."""

import pytest
import torch

from evals.playground.sharpness import sharpness
from judges.pixels import render_scenes
from tests.evals.playground.scenes import blurred, sample_scenes
from worlds.playground.scene import Scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes()


def test_sharpness_is_one_for_real_images_falls_with_blur_and_grows_with_noise(scenes: list[Scene]) -> None:
    images = render_scenes(scenes)
    assert sharpness(images, images) == pytest.approx({"fine": 1, "middle": 1, "coarse": 1})
    soft = sharpness(blurred(images), images)
    assert soft["fine"] < 0.5 and soft["fine"] < soft["middle"] < soft["coarse"] < 1.05
    noise = 20 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    grainy = sharpness((images + noise).clamp(0, 255).to(torch.uint8), images)
    assert grainy["fine"] > 1.3 and grainy["fine"] - 1 > 3 * abs(grainy["coarse"] - 1)
