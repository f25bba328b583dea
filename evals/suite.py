"""The playground's suite: everything that is measured of a model, as flat `name: value`."""

import time
from pathlib import Path

from evals.editing import edit_and_judge, editing_scores
from evals.geneval import draw_and_judge, geneval_scores
from evals.pictures import write_pictures
from evals.reconstruction import codebook_scores, rebuild, reconstruction_scores
from evals.vqa import vqa_scores
from models.unified import Illume


def playground_suite(
    model: Illume,
    seed: int = 0,
    per_category: int = 50,
    seeds: int = 4,
    samples: int = 600,
    images: Path | None = None,
) -> dict[str, float]:
    """Runs every evaluation on held-out combinations.

    Args:
        model: with all its parts.
        seed: of prompts, scenes and drawings.
        per_category: GenEval prompts a category.
        seeds: drawings a prompt.
        samples: scenes rebuilt, questions asked (as many and a third more) and edits made (a third).
        images: folder for pictures, or None.
    """
    start = time.monotonic()
    drawings = draw_and_judge(model, per_category, seeds, seed)
    edited = edit_and_judge(model, max(1, samples // 3), seed)
    rebuilt = rebuild(model, samples, seed)
    scores = geneval_scores(drawings)
    scores |= vqa_scores(model, samples * 4 // 3, seed)
    scores |= editing_scores(edited)
    scores |= reconstruction_scores(model, rebuilt)
    scores |= codebook_scores(model, seed)
    if images is not None:
        write_pictures(Path(images), drawings, rebuilt, edited)
    return scores | {"seed": seed, "samples": len(drawings), "seconds": round(time.monotonic() - start, 1)}
