"""Which combinations of shape, colour, count and relation a scene shows, and which are kept from training.

A combination is a tuple that begins with its category, such as ("counting", 3, "red", "star"). In each
category a hash picks the held-out sixth: no training scene shows any of them, whatever it is asked about.
"""

from functools import cache
from hashlib import sha256
from itertools import combinations as pairs_of
from itertools import permutations, product
from math import ceil

from worlds.playground.scene import CATEGORIES, COLOURS, MAX_OBJECTS, SHAPES, Scene, SceneObject, relation

HELD_OUT_SHARE = 0.17
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
CANONICAL = ("left of", "above")  # "a right of b" is the combination "b left of a"


def combinations(scene: Scene) -> frozenset[tuple]:
    """Every combination the scene shows; unlike objects beyond two show none."""
    objects = scene.objects
    first = objects[0]
    shown: set[tuple] = set()
    if all((item.shape, item.colour) == (first.shape, first.colour) for item in objects):
        shown.add(("counting", len(objects), first.colour, first.shape))
    if len(objects) == 1:
        shown |= {("single_object", first.shape, first.colour), ("colors", first.colour, first.shape)}
    if len(objects) == 2 and objects[0].shape != objects[1].shape:
        shown |= _of_pair(*objects)
    return frozenset(shown)


def _of_pair(a: SceneObject, b: SceneObject) -> set[tuple]:
    shown: set[tuple] = {("two_object", *sorted((a.shape, b.shape)))}
    where = relation(a, b)
    if where in CANONICAL:
        shown.add(("position", a.shape, where, b.shape))
    elif where is not None:
        shown.add(("position", b.shape, OPPOSITE[where], a.shape))
    if a.colour != b.colour:
        shown.add(("color_attr", *sorted([(a.colour, a.shape), (b.colour, b.shape)])))
    return shown


@cache
def all_combinations(category: str) -> tuple[tuple, ...]:
    """Every combination of one of scene.CATEGORIES, sorted."""
    if category == "single_object":
        keys = list(product(SHAPES, COLOURS))
    elif category == "colors":
        keys = list(product(COLOURS, SHAPES))
    elif category == "two_object":
        keys = list(pairs_of(sorted(SHAPES), 2))
    elif category == "counting":
        keys = list(product(range(1, MAX_OBJECTS + 1), COLOURS, SHAPES))
    elif category == "position":
        keys = [(a, where, b) for a, b in permutations(SHAPES, 2) for where in CANONICAL]
    elif category == "color_attr":
        coloured = sorted(product(COLOURS, SHAPES))
        keys = [(p, q) for p, q in pairs_of(coloured, 2) if p[0] != q[0] and p[1] != q[1]]
    else:
        raise ValueError(f"unknown category {category!r}; there are {', '.join(CATEGORIES)}")
    return tuple(sorted((category, *key) for key in keys))


def _digest(key: tuple) -> str:
    # single_object and colors ask for the same scenes: one shared draw keeps most of those in training.
    same = ("one object", *sorted(key[1:])) if key[0] in ("single_object", "colors") else key
    return sha256(repr(same).encode()).hexdigest()


@cache
def held_out_combinations(category: str) -> frozenset[tuple]:
    """The combinations of a category that no training scene shows: at least 17% of them."""
    ranked = sorted(all_combinations(category), key=_digest)
    return frozenset(ranked[: ceil(HELD_OUT_SHARE * len(ranked))])


def held_out(key: tuple) -> bool:
    """Whether a combination is kept from training."""
    return key in held_out_combinations(key[0])


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows any held-out combination, and so must not be trained on."""
    return any(held_out(key) for key in combinations(scene))
