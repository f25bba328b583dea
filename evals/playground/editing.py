"""Editing on held-out scenes: the edited image must show what was asked, and everything else as it was."""

from dataclasses import dataclass
from math import hypot

import numpy as np
from torch import Tensor

from judges.pixels import render_scenes, to_numpy
from models.generation import SamplingConfig
from models.unified import Illume
from worlds.playground.edits import EDIT_KINDS, Edit, sample_edit
from worlds.playground.judge import Reading, read, same_scene
from worlds.playground.scene import SceneObject

BATCH = 100
TOLERANCE = 5.0  # pixels that an object may be off its position, as in same_scene


@dataclass(frozen=True)
class EditResult:
    """An edit, the images (3, H, W) before and after, the model's own, and what is right about it.

    Attributes:
        ok: the scene is exactly the target.
        changed: what the edit adds is there, and what it removes is gone (as from any ruined image).
        kept: every object that it leaves alone is as it was.
    """

    edit: Edit
    before: Tensor
    after: Tensor
    image: Tensor
    ok: bool
    changed: bool
    kept: bool


def edit_and_judge(
    model: Illume, samples: int = 200, seed: int = 0, sampling: SamplingConfig | None = None
) -> list[EditResult]:
    """Edits held-out scenes and reads the results back."""
    rng = np.random.default_rng([seed, 77])
    edits = [sample_edit(rng, held_out=True) for _ in range(samples)]
    results: list[EditResult] = []
    for start in range(0, samples, BATCH):
        batch = edits[start : start + BATCH]
        before, after = (render_scenes([getattr(e, scene) for e in batch]) for scene in ("before", "after"))
        own = [seed * 1_000_003 + start + i for i in range(len(batch))]
        images = model.edit_batch(before, [e.instruction for e in batch], own, sampling)
        rows = zip(batch, before, after, images, read(to_numpy(images)), strict=True)
        results += [EditResult(*row, *_verdicts(reading, row[0])) for *row, reading in rows]
    return results


def _verdicts(reading: Reading, edit: Edit) -> tuple[bool, bool, bool]:
    """Whether the scene is exactly the target, whether the change is made, and whether all else is kept."""
    before, after = set(edit.before.objects), set(edit.after.objects)
    added = all(_shows(reading, item) for item in after - before)
    removed = not any(_shows(reading, item) for item in before - after)
    kept = all(_shows(reading, item) for item in before & after)
    return same_scene(reading, edit.after, TOLERANCE), added and removed, kept


def _shows(reading: Reading, item: SceneObject) -> bool:
    """Whether an object is seen in its shape, colour and position."""
    return any(
        (o.shape, o.colour) == (item.shape, item.colour) and hypot(o.x - item.x, o.y - item.y) <= TOLERANCE
        for o in reading.objects
    )


def editing_scores(edits: list[EditResult]) -> dict[str, float]:
    """The share exactly right, overall and for each kind of edit; that with the change made; that with all else kept."""
    scores = {
        "editing/accuracy": float(np.mean([e.ok for e in edits])),
        "editing/changed": float(np.mean([e.changed for e in edits])),
        "editing/kept": float(np.mean([e.kept for e in edits])),
    }
    for kind in EDIT_KINDS:
        if of_kind := [e.ok for e in edits if e.edit.kind == kind]:
            scores[f"editing/{kind}"] = float(np.mean(of_kind))
    return scores
