"""The same prompts drawn by two models under the same seeds, each drawing judged where a judge can read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from markupsafe import Markup
from PIL import Image

from common.images import encode_image
from common.pages import data_url, fragment
from evals.playground.geneval import judge_drawings
from evals.playground.suite import supported_measures
from judges.pixels import to_numpy
from models.generation import SamplingConfig
from models.unified import Illume
from worlds.playground.prompts import Prompt, evaluation_prompts
from worlds.playground.scene import CATEGORIES, IMAGE_SIZE

SIDE = 512  # pixels at most that a page holds of a picture


@dataclass(frozen=True)
class Drawn:
    """One model's drawing of a prompt: a PNG, and the judge's verdict (None: nobody could judge it)."""

    png: bytes
    ok: bool | None


def balanced_prompts(count: int, seed: int) -> list[Prompt]:
    """So many held-out prompts of the playground, from every category in turn."""
    each = -(-count // len(CATEGORIES))
    prompts = evaluation_prompts(each, seed)
    return [prompts[category * each + i] for i in range(each) for category in range(len(CATEGORIES))][:count]


def draw(
    folder: Path, prompts: list[Prompt], seed: int, device: str, sampling: SamplingConfig
) -> list[Drawn] | None:
    """Draws with the model of a folder, prompt number i under seed + i; None if the model cannot draw."""
    model = Illume.from_pretrained(folder).to(device)
    if "geneval" not in supported_measures(model):
        return None
    with torch.no_grad():
        seeds = [seed + i for i in range(len(prompts))]
        images = model.draw_batch([prompt.text for prompt in prompts], seeds, sampling)
    readable = model.encoder.image_size == IMAGE_SIZE
    verdicts = [one.ok for one in judge_drawings(prompts, images)] if readable else [None] * len(prompts)
    drawn = []
    for pixels, ok in zip(to_numpy(images), verdicts, strict=True):
        picture = Image.fromarray(pixels)
        picture.thumbnail((SIDE, SIDE))
        drawn.append(Drawn(encode_image(picture), ok))
    return drawn


def pair_figures(prompts: list[Prompt], names: tuple[str, str], drawn: Sequence[list[Drawn]]) -> Markup:
    """A figure a prompt: the first model's drawing, the second's, and the verdicts."""
    figures = [
        (prompt.text, [(name, data_url(one.png), one.ok) for name, one in zip(names, both, strict=True)])
        for prompt, *both in zip(prompts, *drawn, strict=True)
    ]
    return fragment(
        """<div class="sheet pairs">
{% for prompt, both in figures %}<figure><div>
{%- for name, source, _ in both %}<img alt="{{ name }}" src="{{ source }}">{% endfor %}</div><figcaption>
{%- for _, _, ok in both if ok is not none %}<span class="{{ 'good' if ok else 'bad' }}">{{ '✓' if ok else '✗' }}</span>
{%- endfor %} {{ prompt }}</figcaption></figure>{% endfor %}
</div>""",
        figures=figures,
    )
