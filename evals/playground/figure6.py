"""ILLUME's figure 6 from a run's metrics.csv: two tokenizers under one language model, over equal images.

The paper draws the language model's loss. Cross-entropies over two codebooks are not of one unit, so beside it stand its
share of the codes' own entropy, and what can be compared without reserve: the judged drawings.
"""

import csv
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from common.pages import STYLE, fragment
from evals.playground.geneval import BATCH, Drawing, draw_and_judge, geneval_scores, judge_drawings
from evals.reports.curves import COLOURS, HEIGHT, WIDTH, Curve, plot
from judges.pixels import render_scenes
from models.unified import Illume
from worlds.playground.sampler import scene_for

PANELS = {  # by title, the columns of its bold curves and of its thin ones, without the arm's name
    "Validation loss, nats a code": ("val/loss_draw_", ""),
    "The same over the entropy of single codes": ("val/loss_share_", ""),
    "GenEval on the playground": ("geneval/overall_", "geneval/rebuilt_"),
}
CAPTION = (
    "Left: cross-entropies over two codebooks are not of one unit, for the codes of one may hold more than those of the "
    "other. Middle: what is left of the entropy of single codes on the validation set; 1 is knowing no more than how "
    "often each comes. Neither tells what the codes are worth. Right: judged drawings of held-out prompts, which can be "
    "compared; thin, true scenes for the same prompts rebuilt from their codes: what codes and decoder alone allow."
)
GAP, LINE, LETTERS = 24, 15, 190  # units between panels, a line of text, letters in a line of the caption


def arm_scores(model: Illume, per_category: int, seeds: int, seed: int, **sampling: Any) -> dict[str, float]:
    """GenEval of a model's drawings (`overall`) and of true scenes rebuilt from their codes (`rebuilt`)."""
    drawings = draw_and_judge(model, per_category, seeds, seed, **sampling)
    scores = {"overall": drawings, "rebuilt": _rebuilt(model, drawings, seed)}
    return {name: geneval_scores(drawn)["geneval/overall"] for name, drawn in scores.items()}


def _rebuilt(model: Illume, drawings: list[Drawing], seed: int) -> list[Drawing]:
    """In place of each drawing a scene that the playground itself draws for its prompt, encoded and decoded."""
    rng = np.random.default_rng([seed, 66])
    prompts = [drawing.prompt for drawing in drawings]
    real = render_scenes([scene_for(rng, prompt.spec) for prompt in prompts])  # (B, 3, H, W)
    parts = [model.decode(model.encode(part), list(range(len(part)))) for part in real.split(BATCH)]
    return judge_drawings(prompts, torch.cat(parts))


def draw_figure(metrics: Path) -> str:
    """The figure of a run's metrics file as SVG, which any browser and README shows; a panel without curves is left out.

    Raises:
        ValueError: the file holds no curve over images.
    """
    with open(metrics, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    panels = {title: (_arms(rows, bold), _arms(rows, thin)) for title, (bold, thin) in PANELS.items()}
    shown = {title: curves for title, curves in panels.items() if curves[0]}
    if not shown:
        raise ValueError(f"{metrics} lacks curves over images: it is not of a run of ablations/figure6.yaml")
    return _figure(shown)


def _arms(rows: Iterable[Mapping[str, str]], prefix: str) -> dict[str, Curve]:
    """Curves (images, value) of each arm, whose name follows the prefix in a column's."""
    curves: dict[str, Curve] = defaultdict(list)
    for row in rows:
        for column, value in row.items():
            if prefix and column.startswith(prefix) and isfinite(float(value or "nan")):
                curves[column.removeprefix(prefix)].append((float(row["images"]), float(value)))
    return dict(curves)


def _figure(panels: Mapping[str, tuple[dict[str, Curve], dict[str, Curve]]]) -> str:
    """Panels side by side under a legend, over the caption."""
    arms = sorted({arm for bold, _ in panels.values() for arm in bold}, reverse=True)  # semantic before pixel
    colours = {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(arms)}
    width, top = len(panels) * (WIDTH + GAP) + GAP, GAP + 4 * LINE
    shown = []
    for i, (title, (bold, thin)) in enumerate(panels.items()):
        lines = [(f"train {colours[arm]}", curve) for arm, curve in thin.items()]
        lines += [(f"val {colours[arm]}", curve) for arm, curve in bold.items()]
        images = max(number for _, curve in lines for number, _ in curve)
        last = ", ".join(f"{arm} {bold[arm][-1][1]:.2f}" for arm in arms if arm in bold)
        shown.append((GAP + i * (WIDTH + GAP), title, last, plot(lines, f"{images:,.0f} images seen")))
    words, bottom = textwrap.wrap(CAPTION, LETTERS), top + HEIGHT + LINE
    return fragment(
        """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}"><style>{{ style }}
svg { background: var(--card); font-family: system-ui, sans-serif } svg text.title { fill: var(--ink); font-size: 11px }
</style>{{ legend }}
{% for left, title, last, drawing in panels %}<g transform="translate({{ left }} {{ top }})">
<text class="title" y="{{ -line - 6 }}">{{ title }}</text><text y="-6">{{ last }}</text>{{ drawing }}</g>
{% endfor %}
{% for words in caption %}<text x="{{ gap }}" y="{{ bottom + loop.index0 * line }}">{{ words }}</text>
{% endfor %}</svg>
""",
        width=width,
        height=bottom + len(words) * LINE,
        style=Markup(STYLE.read_text(encoding="utf-8")),
        legend=_legend(colours),
        panels=shown,
        caption=words,
        top=top,
        line=LINE,
        gap=GAP,
        bottom=bottom,
    )


def _legend(colours: Mapping[str, str]) -> Markup:
    """A dot in the colour of each arm, and its name."""
    return fragment(
        """{% for arm, colour in arms %}<circle class="{{ colour }}" cx="{{ gap + 4 + 90 * loop.index0 }}"
cy="{{ gap - 3 }}" r="4"/><text class="title" x="{{ gap + 12 + 90 * loop.index0 }}" y="{{ gap + 1 }}">{{ arm }}</text>
{%- endfor %}""",
        arms=list(colours.items()),
        gap=GAP,
    )
