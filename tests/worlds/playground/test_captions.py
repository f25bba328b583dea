"""Captions follow their category; dense ones name everything."""

import numpy as np

from tests.worlds.playground.wording import read_prompt
from worlds.playground.captions import caption, dense_caption
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import Scene, SceneObject


def test_captions_follow_their_category() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert read_prompt(caption(sample_scene(rng, "position"), rng, "position"))[1]
        nouns, _ = read_prompt(caption(sample_scene(rng, "color_attr"), rng, "color_attr"))
        assert all(colour for _, colour, _ in nouns)
        scene = sample_scene(rng, "mixed")
        assert sum(count for count, _, _ in read_prompt(caption(scene, rng, "mixed"))[0]) == len(
            scene.objects
        )
        assert caption(scene, rng)


def test_dense_caption() -> None:
    scene = Scene((SceneObject("ring", "red", 8, 8, 6.9), SceneObject("star", "blue", 24, 40, 6.1)), 0)
    assert dense_caption(scene) == "large red ring top left , small blue star bottom center"
