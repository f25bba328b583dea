"""Scenes are well formed, and satisfy what they were drawn for."""

from itertools import combinations as pairs_of
from math import hypot

import numpy as np
import pytest

from worlds.playground.prompts import PromptSpec, evaluation_prompts, spec_of
from worlds.playground.render import object_mask, render
from worlds.playground.sampler import cell_of, sample_scene, scene_for
from worlds.playground.scene import CATEGORIES, CELL, IMAGE_SIZE, RADIUS, Scene, relation


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


def test_no_two_objects_share_a_pixel() -> None:
    for scene in _scenes(20):
        assert sum(object_mask(item) > 0 for item in scene.objects).max() <= 1


def test_every_kind_of_prompt_gets_a_scene_that_satisfies_it() -> None:
    rng = np.random.default_rng(1)
    for prompt in evaluation_prompts(20, seed=0):
        scene = scene_for(rng, prompt.spec)
        assert len(scene.objects) == sum(count for count, _, _ in prompt.spec.objects)
        for count, colour, shape in prompt.spec.objects:
            alike = [o for o in scene.objects if o.shape == shape and colour in (None, o.colour)]
            assert len(alike) == count
        if prompt.spec.relation:
            by_shape = {item.shape: item for item in scene.objects}
            first, second = (by_shape[shape] for _, _, shape in prompt.spec.objects)
            assert relation(first, second) == prompt.spec.relation


def test_a_seed_fixes_the_scenes() -> None:
    assert _scenes(10) == _scenes(10)


def test_texture_changes_the_ground_alone() -> None:
    spec = PromptSpec("colors", ((1, "red", "circle"),))
    scene = scene_for(np.random.default_rng(0), spec)
    other = Scene(scene.objects, scene.texture_seed + 1)
    assert (render(scene) == render(scene)).all() and (render(scene) != render(other)).any()
    assert spec_of(scene, "colors") == spec


def test_mixed_scenes_cannot_be_asked_to_be_held_out() -> None:
    with pytest.raises(ValueError, match="mixed"):
        sample_scene(np.random.default_rng(0), "mixed", held_out=True)
