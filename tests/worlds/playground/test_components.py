"""Components: none on bare ground, apart where objects are."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from worlds.playground.judge import UNKNOWN, read, same_scene
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene, SceneObject

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


def test_nothing_is_seen_on_bare_ground_and_no_shape_in_noise() -> None:
    rng = np.random.default_rng(6)
    bare = np.stack([render(Scene((), seed)) for seed in range(200)])
    empty = np.concatenate([bare, noisy(bare, 10), 0 * bare[:1]])
    assert all(reading.objects == () for reading in read(empty))
    noise = rng.integers(0, 256, (100, 48, 48, 3), dtype=np.uint8)
    flat = np.repeat(np.arange(0, 256, 15, dtype=np.uint8), 48 * 48 * 3).reshape(-1, 48, 48, 3)
    for reading in read(np.concatenate([noise, flat])):
        assert all(item.shape == UNKNOWN for item in reading.objects)


def test_close_neighbours_of_one_colour_stay_apart_when_blurred() -> None:
    pair = tuple(SceneObject("square", "white", x, 24.0, 6.5) for x in (17.0, 30.0))
    scene = Scene(pair, 2)
    assert share_right(blurred(render(scene)[None], 0.8), [scene], tolerance=1.0) == 1
