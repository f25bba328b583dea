"""What is held out stays out of training, and enough of it is held out."""

import numpy as np
import pytest

from worlds.playground.combinations import all_combinations, combinations, held_out_combinations, is_held_out
from worlds.playground.edits import sample_edit
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene, SceneObject
from worlds.playground.stories import sample_story


def _scene(*objects: tuple[str, str, float, float]) -> Scene:
    return Scene(tuple(SceneObject(shape, colour, x, y, 6.5) for shape, colour, x, y in objects), 0)


@pytest.mark.parametrize("category", CATEGORIES)
def test_at_least_15_percent_of_each_category_are_held_out(category: str) -> None:
    share = len(held_out_combinations(category)) / len(all_combinations(category))
    assert 0.15 <= share <= 0.21


@pytest.mark.parametrize("category", CATEGORIES)
def test_training_still_shows_every_word_of_a_category(category: str) -> None:
    def words(keys: set[tuple]) -> set:
        return {part for key in keys for part in key}

    everything = set(all_combinations(category))
    assert words(everything - held_out_combinations(category)) == words(everything)


def test_combinations_of_scenes() -> None:
    assert combinations(_scene(("star", "red", 8, 8))) == {
        ("single_object", "star", "red"),
        ("colors", "red", "star"),
        ("counting", 1, "red", "star"),
    }
    assert combinations(_scene(("star", "red", 40, 8), ("ring", "blue", 8, 8))) == {
        ("two_object", "ring", "star"),
        ("position", "ring", "left of", "star"),
        ("color_attr", ("blue", "ring"), ("red", "star")),
    }
    assert combinations(_scene(*[("star", "red", x, 8) for x in (8, 24, 40)])) == {
        ("counting", 3, "red", "star")
    }
    assert not combinations(_scene(("star", "red", 8, 8), ("star", "blue", 24, 8), ("ring", "red", 8, 40)))


@pytest.mark.parametrize("category", [*CATEGORIES, "mixed"])
def test_no_training_scene_is_held_out(category: str) -> None:
    rng = np.random.default_rng(0)
    assert not any(is_held_out(sample_scene(rng, category)) for _ in range(400))


def test_no_training_edit_or_story_is_held_out() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        edit = sample_edit(rng)
        assert not is_held_out(edit.before) and not is_held_out(edit.after)
        assert not any(is_held_out(scene) for _, scene in sample_story(rng))


@pytest.mark.parametrize("category", CATEGORIES)
def test_held_out_scenes_show_a_held_out_combination_of_their_category(category: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        assert combinations(sample_scene(rng, category, held_out=True)) & held_out_combinations(category)


def test_training_scenes_reach_every_combination_left() -> None:
    rng = np.random.default_rng(3)
    seen = set().union(*(combinations(sample_scene(rng, "counting")) for _ in range(3000)))
    wanted = {key for key in all_combinations("counting") if key[1] > 1} - held_out_combinations("counting")
    assert wanted <= seen
