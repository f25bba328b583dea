"""Drawing by the model's own assessments (ILLUME section 3.4): the best of several, or one redrawn until it satisfies."""

from collections.abc import Callable
from math import isnan

import torch
from PIL.Image import Image
from torch import Tensor

from judges.assessment import Assessment, to_text
from judges.self_judge import SelfJudge
from models.image_input import to_pil
from models.unified import Illume

MAX_TRIES = 4  # drawings that `redraw_until_satisfied` makes of one image
SEED_STRIDE = 1_000_003  # between the seeds of the tries behind one image
UNTRAINED = "this model does not assess what it sees (train it with self_enhancement.yaml)"


def make_self_judge(model: Illume) -> SelfJudge:
    """A model as the judge of what it draws."""
    judge = SelfJudge()
    judge.set_model(model)
    return judge


def to_batch(model: Illume, images: list[Image]) -> Tensor:
    """Images of one size as the model sees them: (B, 3, H, W) uint8."""
    return torch.stack(model.prepare_images(images))


def try_seeds(seed: int, count: int) -> list[int]:
    """Seeds of the tries behind one image: those of no other image."""
    return [seed + i * SEED_STRIDE for i in range(count)]


def draw_best(model: Illume, prompt: str, seed: int, count: int, report: Callable[[str], object]) -> Image:
    """Of several drawings the one that the model itself is most sure of."""
    prompts = [prompt] * count
    images = model.draw(prompts, try_seeds(seed, count))
    assert isinstance(images, list)
    opinions = make_self_judge(model).assess_with_confidence(prompts, to_batch(model, images))
    sure = [0.0 if isnan(confidence) else confidence for _, confidence in opinions]
    if not any(sure):
        raise ValueError(f"{UNTRAINED}: --best-of needs its assessments")
    first = max(range(count), key=sure.__getitem__)
    report(f"seed {seed}: took try {first + 1} of {count}, sure by {', '.join(f'{p:.2f}' for p in sure)}")
    return images[first]


def redraw_until_satisfied(model: Illume, prompt: str, seed: int, report: Callable[[str], object]) -> Image:
    """Draws, assesses, and redraws while the model is not satisfied, at most MAX_TRIES times; the last drawing."""
    judge, seeds = make_self_judge(model), try_seeds(seed, MAX_TRIES)
    images = model.draw_batch([prompt], seeds[:1])
    for number in range(1, MAX_TRIES + 1):
        (opinion,) = judge.assess([prompt], images)
        if not isinstance(opinion, Assessment):
            raise ValueError(f"{UNTRAINED}: --reflect needs its assessments")
        text = to_text(opinion)
        report(f"seed {seed}, try {number}: {text}")
        if opinion.overall or number == MAX_TRIES:
            break
        images = model.redraw_batch(images, [prompt], [text], [seeds[number]])
    return to_pil(images[0])
