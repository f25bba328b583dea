"""Reads images of the playground back into objects, and judges whether they show what a prompt asks for.

Takes the role of the paper's judge, a large multimodal model. It knows the world's shapes and
colours but not its lattice: each component's soft mask is compared with every shape at several radii and
sub-pixel offsets. What resembles none, or two as much, is kept as "unknown": a stain makes an image wrong.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import hypot

import numpy as np

from worlds.playground.components import HUES, PAINT_LENGTHS, Components, dilate, find_components
from worlds.playground.prompts import PromptSpec, noun
from worlds.playground.render import coverage
from worlds.playground.scene import COLOURS, SHAPES, Scene, SceneObject, relation

UNKNOWN = "unknown"
BATCH = 256  # images read at once: what stays in cache
SPECK = 4  # pixels; a component no larger is a speck and goes unseen
SMALLEST = 30  # pixels; a component smaller than this is no shape, whatever its outline
REACH = 10  # pixels from a component's middle to the border of its window
RADII = np.arange(5.5, 7.6, 0.5)
OFFSETS = np.arange(-1.5, 1.6, 0.5)  # of a shape's centre from the window's middle
MIN_MATCH = 0.9  # similarity of masks below which a component is no shape
MAX_DOUBT = 0.8  # the best shape's mismatch over the next one's, above which the shape is anyone's guess
MIN_HUE_COSINE = 0.93  # cosine below which a paint is no colour
LEVELS = (0.65, 1.35)  # how much darker or brighter than its colour, lit from in front, a paint may be


@dataclass(frozen=True, order=True)
class SeenObject(SceneObject):
    """An object as read from an image; shape or colour may be UNKNOWN. Confidence is the match, 0 to 1."""

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
    keys = list(product(SHAPES, RADII.tolist(), OFFSETS.tolist(), OFFSETS.tolist()))
    masks = [coverage(s, axis[None, :] - dx, axis[:, None] - dy, r).ravel() for s, r, dx, dy in keys]
    return np.stack(masks, axis=1).astype(np.float32), keys


def _soft_masks(found: Components, which: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """How much of each pixel (K, P) around pixel (column, row) each of K components covers, 0 to 1."""
    side = np.arange(2 * REACH + 1)
    pad = [(0, 0), (REACH, REACH), (REACH, REACH)]
    where = (found.image[which, None, None], row[:, None, None] + side[:, None], column[:, None, None] + side)
    contrast = np.pad(found.contrast, [*pad, (0, 0)])[where]  # (K, S, S, 3)
    labels = np.pad(found.labels, pad, constant_values=-1)[where]
    own = labels == which[:, None, None]
    other = (labels >= 0) & ~own
    beside = dilate(other, 1) & ~own  # the soft edge of another object is not this one's
    scale = found.paint[which] / (found.paint[which] ** 2).sum(axis=1, keepdims=True)
    masks = np.clip(np.einsum("kyxc,kc->kyx", contrast, scale), 0, 1)
    return np.where(beside, 0, masks).reshape(len(which), side.size**2)


def _match(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For soft masks (K, P) the best template, its similarity and the doubt about its shape, each (K,).

    The similarity is Dice's, twice the overlap over both sizes; the doubt is the mismatch of the best shape
    over that of the next best one.
    """
    templates, keys = _templates()
    sizes = (masks**2).sum(axis=1)[:, None] + (templates**2).sum(axis=0)
    scores = 2 * (masks @ templates) / sizes  # (K, T)
    per_shape = scores.reshape(len(masks), len(SHAPES), len(keys) // len(SHAPES)).max(axis=2)
    ranked = np.sort(per_shape, axis=1)
    doubt = (1 - ranked[:, -1]) / np.maximum(1 - ranked[:, -2], 1e-6)
    return scores.argmax(axis=1), ranked[:, -1], doubt


def _colours(paint: np.ndarray) -> list[str]:
    """Colour names of paints (K, 3), UNKNOWN for no known hue, or one too dark or too bright."""
    length = np.maximum(np.linalg.norm(paint, axis=1), 1e-6)
    cosines = paint @ HUES.T / length[:, None]  # (K, colours)
    nearest = cosines.argmax(axis=1)
    level = length / PAINT_LENGTHS[nearest]
    sure = (cosines.max(axis=1) > MIN_HUE_COSINE) & (level > LEVELS[0]) & (level < LEVELS[1])
    names = list(COLOURS)
    return [names[i] if s else UNKNOWN for i, s in zip(nearest, sure, strict=True)]


def _read_batch(images: np.ndarray) -> list[Reading]:
    found = find_components(images)
    colours = _colours(found.paint)
    shaped = np.flatnonzero(found.area >= SMALLEST)
    column, row = found.x[shaped].astype(int), found.y[shaped].astype(int)  # the pixel of each one's middle
    matches = _match(_soft_masks(found, shaped, column, row))
    known: dict[int, SeenObject] = {}
    for k, left, top, best, score, doubt in zip(shaped.tolist(), column, row, *matches, strict=True):
        if score >= MIN_MATCH and doubt <= MAX_DOUBT and colours[k] != UNKNOWN:
            shape, radius, dx, dy = _templates()[1][best]
            x, y = float(left + 0.5 + dx), float(top + 0.5 + dy)
            known[k] = SeenObject(shape, colours[k], x, y, radius, float(score))
    objects: list[list[SeenObject]] = [[] for _ in images]
    for k in np.flatnonzero(found.area > SPECK).tolist():
        x, y, radius = float(found.x[k]), float(found.y[k]), float(np.sqrt(found.area[k] / np.pi))
        objects[found.image[k]].append(known.get(k) or SeenObject(UNKNOWN, colours[k], x, y, radius, 0.0))
    return [Reading(tuple(items)) for items in objects]


def read(images: np.ndarray) -> list[Reading]:
    """What each of images (N, H, W, 3), uint8, shows."""
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"the judge reads uint8 images (N, H, W, 3), not {images.dtype} {images.shape}")
    return [r for start in range(0, len(images), BATCH) for r in _read_batch(images[start : start + BATCH])]


def _misplaced(first: SeenObject, second: SeenObject, wanted: str) -> list[str]:
    where = relation(first, second)
    if where == wanted:
        return []
    found = where or "neither clearly beside nor clearly above or below"
    return [f"asked for {first.shape} {wanted} {second.shape}, but the {first} is {found} the {second}"]


def satisfies(reading: Reading, spec: PromptSpec) -> Verdict:
    """Whether an image shows what a prompt asks for, in number, colour, shape and position, and nothing else."""
    wanted: Counter[tuple[str | None, str]] = Counter()
    for count, colour, shape in spec.objects:
        wanted[colour, shape] += count
    rest, wrong = list(reading.objects), []
    claimed: dict[tuple[str | None, str], list[SeenObject]] = {}
    # what is asked for in a colour claims its objects before what may have any colour takes the others
    for colour, shape in sorted(wanted, key=lambda kind: kind[0] is None):
        count = wanted[colour, shape]
        fits = [item for item in rest if item.shape == shape and colour in (None, item.colour)]
        rest = [item for item in rest if item not in fits]
        claimed[colour, shape] = fits
        if len(fits) != count:
            wrong.append(f"asked for {noun(count, colour, shape, article='one')}, saw {len(fits)}")
    wrong += [f"nobody asked for the {item}" for item in rest]
    if spec.relation is not None:
        first, second = (claimed[kind[1:]] for kind in spec.objects)
        wrong += [reason for a in first for b in second for reason in _misplaced(a, b, spec.relation)]
    return Verdict(not wrong, [f"saw {reading}", *wrong])


def same_scene(reading: Reading, scene: Scene, tolerance: float = 5.0) -> bool:
    """Whether an image shows a scene's objects, each within `tolerance` pixels of its position, and no more."""
    rest = list(reading.objects)
    for item in scene.objects:
        alike = [o for o in rest if (o.shape, o.colour) == (item.shape, item.colour)]
        nearest = min(alike, key=lambda o: hypot(o.x - item.x, o.y - item.y), default=None)
        if nearest is None or hypot(nearest.x - item.x, nearest.y - item.y) > tolerance:
            return False
        rest.remove(nearest)
    return not rest
