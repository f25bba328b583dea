"""Editing on held-out scenes: the edited image must show what was asked, and everything else as it was."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from evals.pixels import arrays, rendered
from models.unified import Illume
from playground.edits import EDIT_KINDS, Edit, sample_edit
from playground.judge import read, same_scene

BATCH = 100


@dataclass(frozen=True)
class Edited:
    """An edit, the images (3, H, W) before and after, the model's own, and whether it is exactly right."""

    edit: Edit
    before: Tensor
    after: Tensor
    image: Tensor
    ok: bool


def edit_and_judge(model: Illume, samples: int = 200, seed: int = 0) -> list[Edited]:
    """Edits held-out scenes and reads the results back."""
    rng = np.random.default_rng([seed, 77])
    edits = [sample_edit(rng, held_out=True) for _ in range(samples)]
    done: list[Edited] = []
    for start in range(0, samples, BATCH):
        part = edits[start : start + BATCH]
        before, after = rendered([e.before for e in part]), rendered([e.after for e in part])
        own = [seed * 1_000_003 + start + i for i in range(len(part))]
        images = model.edit(before, [e.instruction for e in part], own)
        readings = read(arrays(images))
        done += [
            Edited(e, b, a, image, same_scene(reading, e.after))
            for e, b, a, image, reading in zip(part, before, after, images, readings, strict=True)
        ]
    return done


def editing_scores(edited: list[Edited]) -> dict[str, float]:
    """The share exactly right, overall and for each kind of edit."""
    scores = {"editing/accuracy": float(np.mean([e.ok for e in edited]))}
    for kind in EDIT_KINDS:
        if of_kind := [e.ok for e in edited if e.edit.kind == kind]:
            scores[f"editing/{kind}"] = float(np.mean(of_kind))
    return scores
