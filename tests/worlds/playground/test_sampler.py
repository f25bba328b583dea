"""Scenes are well formed, and satisfy what they were drawn for."""

import numpy as np
import pytest

from worlds.playground.prompts import evaluation_prompts
from worlds.playground.sampler import sample_scene, scene_for
from worlds.playground.scene import CATEGORIES, Scene, relation


def _scenes(count: int) -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng, category, None) for category in (*CATEGORIES, "mixed") for _ in range(count)]


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


def test_mixed_scenes_cannot_be_asked_to_be_held_out() -> None:
    with pytest.raises(ValueError, match="mixed"):
        sample_scene(np.random.default_rng(0), "mixed", held_out=True)
