"""Scenes of every category and their images, clean and damaged."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from worlds.playground.judge import read, same_scene
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene

KINDS = (*CATEGORIES, "mixed")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(3)
    return [sample_scene(rng, KINDS[i % len(KINDS)], held_out=None) for i in range(420)]


@pytest.fixture(scope="module")
def images(scenes: list[Scene]) -> np.ndarray:
    return np.stack([render(scene) for scene in scenes])


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(i).filter(ImageFilter.GaussianBlur(sigma))) for i in images])


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def share_right(images: np.ndarray, scenes: list[Scene], tolerance: float) -> float:
    return float(np.mean([same_scene(r, s, tolerance) for r, s in zip(read(images), scenes, strict=True)]))
