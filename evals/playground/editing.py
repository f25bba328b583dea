"""Editing on held-out scenes: the edited image must show what was asked, and everything else as it was."""

from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from torch import Tensor

from judges.pixels import render_scenes, to_numpy
from models.generation import SamplingConfig
from models.unified import Illume
from worlds.playground.edits import EDIT_KINDS, Edit, sample_edit
from worlds.playground.judge import Reading, read, same_scene
from worlds.playground.scene import SceneObject

BATCH = 100
TOLERANCE = 5.0  # pixels an object may be off its place, as in same_scene


@dataclass(frozen=True)
class EditResult:
    """An edit, the images (3, H, W) before and after, the model's own, and what is right about it.

    Attributes:
        ok: the scene is exactly the one wanted.
        changed: what the edit brings is there, and what it takes away is gone (as from any ruined image).
        kept: every object that it leaves alone is as it was.
    """

    edit: Edit
    before: Tensor
    after: Tensor
    image: Tensor
    ok: bool
    changed: bool
    kept: bool


def edit_and_judge(model: Illume, samples: int = 200, seed: int = 0, **sampling: Any) -> list[EditResult]:
    """Edits held-out scenes and reads the results back; `sampling` is as in `Illume.edit`."""
    rng = np.random.default_rng([seed, 77])
    edits = [sample_edit(rng, held_out=True) for _ in range(samples)]
    done: list[EditResult] = []
    for start in range(0, samples, BATCH):
        part = edits[start : start + BATCH]
        before, after = render_scenes([e.before for e in part]), render_scenes([e.after for e in part])
        own = [seed * 1_000_003 + start + i for i in range(len(part))]
        images = model.edit_batch(before, [e.instruction for e in part], own, SamplingConfig(**sampling))
        readings = read(to_numpy(images))
        done += [
            EditResult(
                e,
                b,
                a,
                image,
                same_scene(reading, e.after, TOLERANCE),
                _changed(reading, e),
                _kept(reading, e),
            )
            for e, b, a, image, reading in zip(part, before, after, images, readings, strict=True)
        ]
    return done


def _shows(reading: Reading, item: SceneObject) -> bool:
    """Whether an object is seen, in its shape, its colour and its place."""
    return any(
        (o.shape, o.colour) == (item.shape, item.colour) and hypot(o.x - item.x, o.y - item.y) <= TOLERANCE
        for o in reading.objects
    )


def _changed(reading: Reading, edit: Edit) -> bool:
    before, after = set(edit.before.objects), set(edit.after.objects)
    brought = all(_shows(reading, item) for item in after - before)
    return brought and not any(_shows(reading, item) for item in before - after)


def _kept(reading: Reading, edit: Edit) -> bool:
    return all(_shows(reading, item) for item in set(edit.before.objects) & set(edit.after.objects))


def editing_scores(edited: list[EditResult]) -> dict[str, float]:
    """The share exactly right, overall and for each kind of edit; that with the change made; that with all else kept."""
    scores = {
        "editing/accuracy": float(np.mean([e.ok for e in edited])),
        "editing/changed": float(np.mean([e.changed for e in edited])),
        "editing/kept": float(np.mean([e.kept for e in edited])),
    }
    for kind in EDIT_KINDS:
        if of_kind := [e.ok for e in edited if e.edit.kind == kind]:
            scores[f"editing/{kind}"] = float(np.mean(of_kind))
    return scores
