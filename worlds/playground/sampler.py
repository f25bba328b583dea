"""Draws scenes at random: of a category, inside or outside the held-out combinations, or to fit a prompt."""

from functools import cache
from math import hypot

import numpy as np

from worlds.playground.combinations import all_combinations, held_out, is_held_out
from worlds.playground.prompts import PromptSpec, pick, spec_of_combination
from worlds.playground.scene import (
    CELL,
    COLOURS,
    IMAGE_SIZE,
    JITTER,
    MAX_OBJECTS,
    RADIUS,
    SHAPES,
    Scene,
    SceneObject,
    relation,
)

GAP = 1.0  # pixels between the circles around two objects, at least
REACH = 1.12  # how far a shape reaches along an axis, in radii
SIZE_SPREAD = 0.3  # radii lie this close to the smallest or the largest one, so that a size can be named
COLOUR_NAMES = tuple(COLOURS)


def cell_of(item: SceneObject) -> tuple[int, int]:
    """The lattice cell (row, column) an object lies in."""
    return int(item.y // CELL), int(item.x // CELL)


def arrange(objects: list[SceneObject], texture_seed: int) -> Scene:
    """A scene of these objects, brought into reading order."""
    return Scene(tuple(sorted(objects, key=cell_of)), texture_seed)


def place_object(rng: np.random.Generator, shape: str, colour: str, others: list[SceneObject]) -> SceneObject:
    """A new object at a random lattice point, clear of all the others."""
    while True:
        cell, size = divmod(int(rng.integers(18)), 2)
        jitter_x, jitter_y, spread = rng.random(3).tolist()
        radius = RADIUS[1] - SIZE_SPREAD * spread if size else RADIUS[0] + SIZE_SPREAD * spread
        x = _inside((cell % 3 + 0.5) * CELL + JITTER * (2 * jitter_x - 1), radius)
        y = _inside((cell // 3 + 0.5) * CELL + JITTER * (2 * jitter_y - 1), radius)
        if all(hypot(x - o.x, y - o.y) >= radius + o.radius + GAP for o in others):
            return SceneObject(shape, colour, x, y, radius)


def _inside(position: float, radius: float) -> float:
    return round(min(max(position, REACH * radius), IMAGE_SIZE - REACH * radius), 3)


def scene_for(rng: np.random.Generator, spec: PromptSpec) -> Scene:
    """A scene that satisfies a prompt; what it leaves open is drawn at random, like objects in one colour."""
    while True:
        objects: list[SceneObject] = []
        for count, colour, shape in spec.objects:
            painted = colour or pick(rng, COLOUR_NAMES)
            for _ in range(count):
                objects.append(place_object(rng, shape, painted, objects))
        if spec.relation is None or relation(*objects) == spec.relation:
            return arrange(objects, int(rng.integers(2**31)))


@cache
def _combinations(category: str, wanted: bool | None) -> tuple[tuple, ...]:
    return tuple(key for key in all_combinations(category) if wanted is None or held_out(key) == wanted)


def _mixed_spec(rng: np.random.Generator) -> PromptSpec:
    count = int(rng.integers(2, MAX_OBJECTS + 1))
    return PromptSpec("mixed", tuple((1, pick(rng, COLOUR_NAMES), pick(rng, SHAPES)) for _ in range(count)))


def sample_scene(rng: np.random.Generator, category: str, held_out: bool | None = False) -> Scene:
    """A scene of one of scene.CATEGORIES, or "mixed": two to four free objects.

    `held_out` False: none shown is held out, for training; True: one of this category is; None: either.
    """
    if category == "mixed" and held_out:
        raise ValueError("mixed scenes have no held-out combinations: ask for one of the other categories")
    while True:
        if category == "mixed":
            spec = _mixed_spec(rng)
        else:
            spec = spec_of_combination(pick(rng, _combinations(category, held_out)))
        scene = scene_for(rng, spec)
        if held_out is not False or not is_held_out(scene):
            return scene
