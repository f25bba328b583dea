"""Edits: a scene, an instruction, and the scene after it, in which nothing but what was asked has changed."""

from dataclasses import dataclass, replace

import numpy as np

from worlds.playground.captions import cell_name, refer_to
from worlds.playground.combinations import is_held_out
from worlds.playground.prompts import noun, pick
from worlds.playground.sampler import COLOUR_NAMES, arrange, place_object, sample_scene
from worlds.playground.scene import MAX_OBJECTS, SHAPES, Scene, SceneObject

INSTRUCTIONS = {
    "recolour": ("make {what} {to}", "paint {what} {to}", "change {what} to {to}"),
    "reshape": ("turn {what} into {to}", "change {what} into {to}", "replace {what} with {to}"),
    "remove": ("remove {what}", "erase {what}", "take away {what}"),
    "add": ("add {what} at the {to}", "put {what} at the {to}"),
}
EDIT_KINDS = tuple(INSTRUCTIONS)
STARTS = ("mixed", "mixed", "two_object", "color_attr", "position", "single_object", "counting")


@dataclass(frozen=True)
class Change:
    """What happens to a scene: `what` is changed `to` a colour, a shape or a cell; `after` is the result."""

    kind: str
    what: str
    to: str
    after: Scene


@dataclass(frozen=True)
class Edit:
    """A scene, the instruction to change it, the scene wanted, and the kind of change, one of EDIT_KINDS."""

    before: Scene
    instruction: str
    after: Scene
    kind: str


def _addition(scene: Scene, rng: np.random.Generator) -> Change | None:
    if len(scene.objects) == MAX_OBJECTS:
        return None
    item = place_object(rng, pick(rng, SHAPES), pick(rng, COLOUR_NAMES), list(scene.objects))
    after = arrange([*scene.objects, item], scene.texture_seed)
    return Change("add", noun(1, item.colour, item.shape), cell_name(item), after)


def propose_change(scene: Scene, rng: np.random.Generator, kind: str) -> Change | None:
    """A random change of the kind, of an object that a phrase singles out; None where there is none."""
    if kind == "add":
        return _addition(scene, rng)
    item = pick(rng, scene.objects)
    what = refer_to(item, scene, rng)
    if what is None or (kind == "remove" and len(scene.objects) == 1):
        return None
    changed: list[SceneObject] = []
    to = ""
    if kind == "recolour":
        to = pick(rng, [colour for colour in COLOUR_NAMES if colour != item.colour])
        changed = [replace(item, colour=to)]
    elif kind == "reshape":
        shape = pick(rng, [shape for shape in SHAPES if shape != item.shape])
        changed, to = [replace(item, shape=shape)], noun(1, None, shape)
    others = [other for other in scene.objects if other is not item]
    return Change(kind, what, to, arrange(others + changed, scene.texture_seed))


def sample_edit(rng: np.random.Generator, held_out: bool = False) -> Edit:
    """A random edit. For training (`held_out` False) neither scene is held out; else the one wanted is."""
    while True:
        kind = pick(rng, EDIT_KINDS)
        before = sample_scene(rng, pick(rng, STARTS))
        change = propose_change(before, rng, kind)
        if change is not None and is_held_out(change.after) == held_out:
            instruction = pick(rng, INSTRUCTIONS[kind]).format(what=change.what, to=change.to)
            return Edit(before, instruction, change.after, kind)
