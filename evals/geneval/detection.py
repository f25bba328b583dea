"""Detections of objects in an image, what makes them, and which of them count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels, y down


@dataclass(frozen=True, eq=False)
class Detection:
    """An object that was found: its class by GenEval's name, and its mask (H, W) bool where there is one."""

    name: str
    score: float
    box: Box
    mask: np.ndarray | None = None


class Detector(Protocol):
    """Finds objects."""

    name: str  # of the network and its weights; results of one name may stand for each other
    classes: frozenset[str]  # that it can find, by GenEval's names

    def detect(self, image: Image.Image, threshold: float) -> list[Detection]:
        """Every object in an RGB image whose score is above a threshold."""


class ColourReader(Protocol):
    """Reads the colours of objects; `name` is that of the network and its weights."""

    name: str

    def read_colours(self, image: Image.Image, objects: Sequence[Detection], name: str) -> list[str]:
        """One colour for each of some objects of a class in an RGB image."""


def select(
    detections: Iterable[Detection], threshold: float, most: int, overlap: float
) -> dict[str, list[Detection]]:
    """By class the detections that count, in order of score: above a threshold, `most` at most.

    Of two of one class whose IoU is `overlap` or more only the surer one stays; 1 keeps all, the official scorer's
    default. The cap comes first, as there.
    """
    found: dict[str, list[Detection]] = {}
    for one in sorted(detections, key=lambda d: -d.score):
        if one.score > threshold:
            found.setdefault(one.name, []).append(one)
    return {name: _suppress(items[:most], overlap) for name, items in found.items()}


def _suppress(items: Sequence[Detection], overlap: float) -> list[Detection]:
    kept: list[Detection] = []
    for one in items:
        if overlap == 1 or all(iou(one.box, other.box) < overlap for other in kept):
            kept.append(one)
    return kept


def iou(a: Box, b: Box) -> float:
    """Intersection over union; sides count their last pixel (x1 - x0 + 1), as in the official scorer."""
    shared = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    whole = _area(a) + _area(b) - shared
    return shared / whole if whole else 0.0


def _area(box: Box) -> float:
    return max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)
