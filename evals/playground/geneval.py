"""GenEval on the playground: held-out prompts in GenEval's six categories, drawn and read back by the exact judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from judges.pixels import to_numpy
from models.generation import SamplingConfig
from models.unified import Illume
from worlds.playground.judge import read, satisfies
from worlds.playground.prompts import Prompt, evaluation_prompts
from worlds.playground.scene import CATEGORIES

BATCH = 100


@dataclass(frozen=True)
class Drawing:
    """A drawn image (3, H, W), its prompt, and the judge's verdict with reasons."""

    prompt: Prompt
    image: Tensor
    ok: bool
    reasons: list[str]


def draw_and_judge(
    model: Illume, per_category: int, seeds: int, seed: int = 0, sampling: SamplingConfig | None = None
) -> list[Drawing]:
    """Draws every evaluation prompt `seeds` times and judges each drawing."""
    prompts = [p for p in evaluation_prompts(per_category, seed) for _ in range(seeds)]
    drawings: list[Drawing] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        own = [seed * 1_000_003 + start + i for i in range(len(batch))]
        drawings += judge_drawings(batch, model.draw_batch([p.text for p in batch], own, sampling))
    return drawings


def judge_drawings(prompts: Sequence[Prompt], images: Tensor) -> list[Drawing]:
    """Images (B, 3, H, W), each read back and compared with its prompt."""
    verdicts = [satisfies(r, p.spec) for r, p in zip(read(to_numpy(images)), prompts, strict=True)]
    return [Drawing(p, i, v.ok, v.reasons) for p, i, v in zip(prompts, images, verdicts, strict=True)]


def geneval_scores(drawings: list[Drawing]) -> dict[str, float]:
    """The share that is right in each category, and the mean of the categories."""
    scores = {
        f"geneval/{c}": float(np.mean([d.ok for d in drawings if d.prompt.spec.category == c]))
        for c in CATEGORIES
    }
    return {"geneval/overall": float(np.mean(list(scores.values()))), **scores}
