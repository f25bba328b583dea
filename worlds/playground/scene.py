"""What a scene is: one to four coloured shapes on a dark, softly lit and grainy ground.

Objects sit near the points of a 3 x 3 lattice, each moved by a random jitter, and never touch. All lengths are
pixels, x to the right and y down, with (0, 0) the image's upper left corner.
"""

from dataclasses import dataclass

IMAGE_SIZE = 48
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = {
    "red": (225, 45, 45),
    "orange": (245, 145, 25),
    "yellow": (245, 225, 50),
    "green": (50, 175, 60),
    "cyan": (60, 215, 225),
    "blue": (50, 85, 235),
    "purple": (155, 60, 205),
    "white": (240, 240, 240),
}
CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
CELL = IMAGE_SIZE / 3
JITTER = 1.5
RADIUS = (6.0, 7.0)
MAX_OBJECTS = 4


@dataclass(frozen=True, order=True)
class SceneObject:
    """One shape: its name, colour name, centre (x, y) and radius in pixels."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """Objects in reading order (row by row of the lattice), and the seed of grain and light."""

    objects: tuple[SceneObject, ...]
    texture_seed: int


def relation(a: SceneObject, b: SceneObject) -> str | None:
    """Where `a` is as seen from `b`: one of RELATIONS, or None where neither axis clearly leads.

    The leading axis must differ by at least half a cell, and by 1.5 times as much as the other one.
    """
    dx, dy = a.x - b.x, a.y - b.y
    if max(abs(dx), abs(dy)) < CELL / 2:
        return None
    if abs(dx) >= 1.5 * abs(dy):
        return "left of" if dx < 0 else "right of"
    if abs(dy) >= 1.5 * abs(dx):
        return "above" if dy < 0 else "below"
    return None
