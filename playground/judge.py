"""Reads images of the playground back into objects, and judges whether they show what a prompt asks for.

Stands where a large multimodal model stands as the judge in the paper. It knows the world's shapes and colours but
not its lattice: each component's soft mask is compared with every shape at several radii and sub-pixel places.
What resembles none is kept as "unknown", so that a stain makes an image wrong.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from playground.components import HUES, PAINT_LENGTHS, Components, find_components
from playground.prompts import PromptSpec
from playground.render import coverage
from playground.scene import COLOURS, SHAPES, Scene, SceneObject, relation

UNKNOWN = "unknown"
BATCH = 256  # images read at once: what stays in cache
SPECK = 4  # pixels; a component no larger is a speck and goes unseen
REACH = 10  # pixels from a component's middle to the border of its window
RADII = np.arange(5.5, 7.6, 0.5)
OFFSETS = np.arange(-1.5, 1.6, 0.5)  # of a shape's centre from the window's middle
LEAST_MATCH = 0.9  # similarity of masks below which a component is no shape
LEAST_HUE = 0.93  # cosine below which a paint is no colour
LEVELS = (0.65, 1.35)  # how much darker or brighter than its colour, lit from in front, a paint may be


@dataclass(frozen=True, order=True)
class SeenObject(SceneObject):
    """An object as read from an image; shape or colour may be UNKNOWN. Confidence is its mask's match, 0 to 1."""

    confidence: float

    def __str__(self) -> str:
        colour = "" if self.colour == UNKNOWN else f"{self.colour} "
        return colour + ("thing" if self.shape == UNKNOWN else self.shape)


@dataclass(frozen=True)
class Reading:
    """All that an image shows, in reading order by component, unknown things included."""

    objects: tuple[SeenObject, ...]

    def __str__(self) -> str:
        if not self.objects:
            return "nothing"
        return ", ".join(f"{item} at ({item.x:.0f}, {item.y:.0f})" for item in self.objects)


@dataclass(frozen=True)
class Verdict:
    """Whether an image satisfies a prompt, and the reasons: what was seen, then all that is wrong."""

    ok: bool
    reasons: list[str]


@cache
def _templates() -> tuple[np.ndarray, list[tuple[str, float, float, float]]]:
    """Masks (P, T) of every shape, radius and offset in a window, and each one's (shape, radius, dx, dy)."""
    axis = np.arange(-REACH, REACH + 1, dtype=np.float32)
    keys = [(s, float(r), float(dx), float(dy)) for s in SHAPES for r in RADII for dx in OFFSETS for dy in OFFSETS]
    masks = [coverage(s, axis[None, :] - dx, axis[:, None] - dy, r).ravel() for s, r, dx, dy in keys]
    return np.stack(masks, axis=1).astype(np.float32), keys


def _soft_masks(found: Components, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """How much of each pixel (K, P) around pixel (column, row) each of K components covers, 0 to 1."""
    side = np.arange(2 * REACH + 1)
    pad = [(0, 0), (REACH, REACH), (REACH, REACH)]
    where = (found.image[:, None, None], row[:, None, None] + side[:, None], column[:, None, None] + side)
    contrast = np.pad(found.contrast, [*pad, (0, 0)])[where]  # (K, S, S, 3)
    labels = np.pad(found.labels, pad, constant_values=-1)[where]
    own = labels == np.arange(found.image.size)[:, None, None]
    other = np.pad((labels >= 0) & ~own, [(0, 0), (1, 1), (1, 1)])
    beside = other[:, 1:-1, 1:-1] | other[:, :-2, 1:-1] | other[:, 2:, 1:-1] | other[:, 1:-1, :-2] | other[:, 1:-1, 2:]
    scale = found.paint / np.maximum((found.paint**2).sum(axis=1, keepdims=True), 1e-6)
    mask = np.clip(np.einsum("kyxc,kc->kyx", contrast, scale), 0, 1)
    return np.where(beside & ~own, 0, mask).reshape(len(mask), side.size**2)


def _match(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For soft masks (K, P) the best template (K,) and its similarity (K,): twice the overlap over both sizes."""
    templates, _ = _templates()
    sizes = (masks**2).sum(axis=1)[:, None] + (templates**2).sum(axis=0)
    scores = 2 * (masks @ templates) / sizes
    best = scores.argmax(axis=1)
    return best, np.take_along_axis(scores, best[:, None], axis=1)[:, 0]


def _read_batch(images: np.ndarray) -> list[Reading]:
    found = find_components(images)
    column, row = found.x.astype(int), found.y.astype(int)  # the pixel each component's middle lies in
    best, scores = _match(_soft_masks(found, column, row))
    length = np.linalg.norm(found.paint, axis=1)
    cosines = found.paint @ HUES.T / np.maximum(length, 1e-6)[:, None]
    hue = cosines.argmax(axis=1)
    level = length / PAINT_LENGTHS[hue]
    painted = (cosines.max(axis=1) > LEAST_HUE) & (level > LEVELS[0]) & (level < LEVELS[1])
    objects: list[list[SeenObject]] = [[] for _ in images]
    names = list(COLOURS)
    for k in np.flatnonzero(found.area > SPECK):
        colour = names[hue[k]] if painted[k] else UNKNOWN
        shape, radius, dx, dy = _templates()[1][best[k]]
        x, y = column[k] + 0.5 + dx, row[k] + 0.5 + dy
        if scores[k] < LEAST_MATCH or not painted[k]:
            shape, x, y, radius = UNKNOWN, found.x[k], found.y[k], np.sqrt(found.area[k] / np.pi)
        seen = SeenObject(shape, colour, float(x), float(y), float(radius), float(scores[k]))
        objects[found.image[k]].append(seen)
    return [Reading(tuple(items)) for items in objects]


def read(images: np.ndarray) -> list[Reading]:
    """What each of images (N, 48, 48, 3), uint8, shows."""
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (N, H, W, 3) of uint8, got {images.shape} of {images.dtype}")
    return [r for start in range(0, len(images), BATCH) for r in _read_batch(images[start : start + BATCH])]
