"""The same prompts drawn by two models under the same seeds, each drawing judged where a judge can read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from common.images import encode_image
from common.pages import data_url
from evals.reports.run_folder import RunFolder
from models.generation import SamplingConfig, read_generation
from worlds.playground.prompts import Prompt, evaluation_prompts
from worlds.playground.scene import CATEGORIES, IMAGE_SIZE

SIDE = 512  # pixels at most that a page holds of a picture


@dataclass(frozen=True)
class SamePrompts:
    """What both models draw: how many prompts (0: none), of which seed, on which device, how it is sampled."""

    prompts: int = 12
    seed: int = 0
    device: str = "cpu"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


class Drawn(NamedTuple):
    """One model's drawing as a data URL, and the judge's verdict (None: nobody could judge it)."""

    source: str
    ok: bool | None


class Comparison(NamedTuple):
    """How both models drew, or why they did not; and each prompt with the drawings of both."""

    hint: str
    figures: list[tuple[str, tuple[Drawn, ...]]]


def draw_same_prompts(names: Sequence[str], runs: Sequence[RunFolder], settings: SamePrompts) -> Comparison:
    """Draws the same held-out prompts of the playground, of every category, with the models of two runs."""
    if not settings.prompts:
        return Comparison("Nothing was drawn: no prompts were asked for.", [])
    for name, run in zip(names, runs, strict=True):
        if run.model is None:
            return Comparison(f"Nothing was drawn: {name} has no model folder yet.", [])
    prompts = balanced_prompts(settings.prompts, settings.seed)
    both = [_draw(run.model, prompts, settings) for run in runs]
    for name, drawn in zip(names, both, strict=True):
        if drawn is None:
            return Comparison(f"Nothing was drawn: the model of {name} cannot draw.", [])
    tally = ""
    if all(one.ok is not None for drawn in both for one in drawn):
        right = [sum(one.ok for one in drawn) for drawn in both]
        tally = f" Right: {right[0]} and {right[1]} of {len(prompts)}."
    one, other = (str(read_generation(run.model).draw.override(settings.sampling)) for run in runs)
    sampling = one if one == other else f"left {one}; right {other}"
    hint = f"Left {names[0]}, right {names[1]}, under the same seeds ({sampling}).{tally}"
    return Comparison(
        hint, list(zip([prompt.text for prompt in prompts], zip(*both, strict=True), strict=True))
    )


def balanced_prompts(count: int, seed: int) -> list[Prompt]:
    """So many held-out prompts of the playground, from every category in turn."""
    each = -(-count // len(CATEGORIES))
    prompts = evaluation_prompts(each, seed)
    return [prompts[category * each + i] for i in range(each) for category in range(len(CATEGORIES))][:count]


def _draw(folder: Path, prompts: list[Prompt], settings: SamePrompts) -> list[Drawn] | None:
    """Draws with the model of a folder, prompt number i under seed + i; None if the model cannot draw."""
    import torch  # with what needs it: seconds, of which --help and a wrong folder take none

    from evals.playground.geneval import judge_drawings
    from evals.playground.suite import supported_measures
    from judges.pixels import to_numpy
    from models.unified import Illume

    model = Illume.from_pretrained(folder).to(settings.device)
    if "geneval" not in supported_measures(model):
        return None
    with torch.no_grad():
        seeds = [settings.seed + i for i in range(len(prompts))]
        images = model.draw_batch([prompt.text for prompt in prompts], seeds, settings.sampling)
    readable = model.encoder.image_size == IMAGE_SIZE
    verdicts = [one.ok for one in judge_drawings(prompts, images)] if readable else [None] * len(prompts)
    drawn = []
    for pixels, ok in zip(to_numpy(images), verdicts, strict=True):
        picture = Image.fromarray(pixels)
        picture.thumbnail((SIDE, SIDE))
        drawn.append(Drawn(data_url(encode_image(picture)), ok))
    return drawn
