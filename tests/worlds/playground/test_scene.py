"""Scenes: objects in reading order, inside the image, apart."""

from itertools import combinations as pairs_of
from math import hypot

import numpy as np

from worlds.playground.sampler import cell_of, sample_scene
from worlds.playground.scene import CATEGORIES, CELL, IMAGE_SIZE, RADIUS, Scene


def _scenes(count: int) -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng, category, None) for category in (*CATEGORIES, "mixed") for _ in range(count)]


def test_objects_are_in_reading_order_inside_the_image_and_apart() -> None:
    for scene in _scenes(100):
        cells = [cell_of(item) for item in scene.objects]
        assert cells == sorted(set(cells))
        for item in scene.objects:
            assert RADIUS[0] <= item.radius <= RADIUS[1]
            assert item.x - item.radius >= 0 and item.x + item.radius <= IMAGE_SIZE
            assert abs(item.x % CELL - CELL / 2) <= 1.501
        for a, b in pairs_of(scene.objects, 2):
            assert hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius
