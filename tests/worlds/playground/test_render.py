"""Renders: objects apart, the texture on the ground alone."""

import numpy as np

from worlds.playground.prompts import PromptSpec, spec_of
from worlds.playground.render import object_mask, render
from worlds.playground.sampler import sample_scene, scene_for
from worlds.playground.scene import CATEGORIES, Scene


def _scenes(count: int) -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng, category, None) for category in (*CATEGORIES, "mixed") for _ in range(count)]


def test_no_two_objects_share_a_pixel() -> None:
    for scene in _scenes(20):
        assert sum(object_mask(item) > 0 for item in scene.objects).max() <= 1


def test_texture_changes_the_ground_alone() -> None:
    spec = PromptSpec("colors", ((1, "red", "circle"),))
    scene = scene_for(np.random.default_rng(0), spec)
    other = Scene(scene.objects, scene.texture_seed + 1)
    assert (render(scene) == render(scene)).all() and (render(scene) != render(other)).any()
    assert spec_of(scene, "colors") == spec
