"""Components: none on bare ground, apart where objects are."""

import numpy as np

from tests.worlds.playground.rendered_scenes import blurred, images, noisy, scenes, share_right
from worlds.playground.judge import UNKNOWN, read
from worlds.playground.render import render
from worlds.playground.scene import Scene, SceneObject

__all__ = ["scenes", "images"]


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
