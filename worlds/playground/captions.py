"""Captions of scenes: a short one worded as a prompt, a dense one of all objects, and references to single objects."""

import numpy as np

from worlds.playground.combinations import combinations
from worlds.playground.prompts import pick, prompt_text, spec_of
from worlds.playground.sampler import cell_of
from worlds.playground.scene import RADIUS, Scene, SceneObject

ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")
# How often a caption of each category names colours; where its prompts always do, always.
COLOURS_NAMED = {"single_object": 0.3, "two_object": 0.3, "counting": 0.8, "position": 0.3}


def caption(scene: Scene, rng: np.random.Generator, category: str | None = None) -> str:
    """A short caption worded as a prompt of `category` (None: any that the scene belongs to)."""
    if category is None:
        shown = sorted({key[0] for key in combinations(scene)})
        category = pick(rng, shown) if shown else "mixed"
    colours = bool(rng.random() < COLOURS_NAMED.get(category, 1.0))
    return prompt_text(spec_of(scene, category, colours), rng)


def cell_name(item: SceneObject) -> str:
    """The name of an object's lattice cell: "top left"."""
    row, column = cell_of(item)
    return f"{ROWS[row]} {COLUMNS[column]}"


def dense_caption(scene: Scene) -> str:
    """All objects in reading order, as "large red circle top left , small blue star middle center"."""
    middle = sum(RADIUS) / 2
    return " , ".join(
        f"{'large' if item.radius > middle else 'small'} {item.colour} {item.shape} {cell_name(item)}"
        for item in scene.objects
    )


def refer_to(item: SceneObject, scene: Scene, rng: np.random.Generator) -> str | None:
    """A phrase for this object alone: "the circle" or "the red circle"; None where there is none."""
    alike = [other for other in scene.objects if other.shape == item.shape]
    if len(alike) == 1 and rng.random() < 0.5:
        return f"the {item.shape}"
    if sum(other.colour == item.colour for other in alike) == 1:
        return f"the {item.colour} {item.shape}"
    return None
