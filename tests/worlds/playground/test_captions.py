"""Captions follow their category; dense ones name everything."""

import re

import numpy as np

from worlds.playground.captions import caption, dense_caption
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import COLOURS, SHAPES, Scene, SceneObject

NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}


SIDES = {
    "left": "left of",
    "right": "right of",
    "over": "above",
    "above": "above",
    "under": "below",
    "below": "below",
}


def _read_prompt(text: str) -> tuple[list[tuple[int, str | None, str]], str | None]:
    """An independent reading of a prompt: its counted nouns in order, and its relation."""
    colours, shapes = "|".join(COLOURS), "|".join(SHAPES)
    nouns = re.findall(rf"\b({'|'.join(NUMBERS)}) (?:({colours}) )?({shapes})(?:e?s)?\b", text)
    side = next((SIDES[word] for word in text.split() if word in SIDES), None)
    return [(NUMBERS[number], colour or None, shape) for number, colour, shape in nouns], side


def test_captions_follow_their_category() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert _read_prompt(caption(sample_scene(rng, "position"), rng, "position"))[1]
        nouns, _ = _read_prompt(caption(sample_scene(rng, "color_attr"), rng, "color_attr"))
        assert all(colour for _, colour, _ in nouns)
        scene = sample_scene(rng, "mixed")
        assert sum(count for count, _, _ in _read_prompt(caption(scene, rng, "mixed"))[0]) == len(
            scene.objects
        )
        assert caption(scene, rng)


def test_dense_caption() -> None:
    scene = Scene((SceneObject("ring", "red", 8, 8, 6.9), SceneObject("star", "blue", 24, 40, 6.1)), 0)
    assert dense_caption(scene) == "large red ring top left , small blue star bottom center"
