"""ILLUME's figure 6 from a run's metrics.csv: two tokenizers under one language model, over equal images.

The paper draws the language model's loss. Cross-entropies over two codebooks are not of one unit, so beside it stand its
share of the codes' own entropy, and what can be compared without reserve: the judged drawings.
"""

import textwrap
from math import isfinite
from pathlib import Path

import numpy as np
import torch

from evals.playground.geneval import BATCH, Drawing, draw_and_judge, geneval_scores, judge_drawings
from evals.reports.curves import Curve, read_metrics
from evals.reports.plot import COLOURS, SOFT, Line, draw_lines, new_figure, svg_text
from judges.pixels import render_scenes
from models.generation import SamplingConfig
from models.unified import Illume
from worlds.playground.sampler import scene_for

PANELS = {  # by title, the columns of its bold curves and of its thin ones, without the branch's name
    "Validation loss, nats per code": ("val/loss_draw_", ""),
    "The same over the entropy of single codes": ("val/loss_share_", ""),
    "GenEval on the playground": ("geneval/overall_", "geneval/rebuilt_"),
}
CAPTION = (
    "Left: cross-entropies over two codebooks are not of one unit, for the codes of one may hold more than those of the "
    "other. Middle: what is left of the entropy of single codes on the validation set; 1 is knowing no more than how "
    "often each comes. Neither says what the codes are worth. Right: judged drawings of held-out prompts, which can be "
    "compared; thin, real scenes for the same prompts, reconstructed from their codes: the bound by codes and decoder."
)
HEIGHT, CAPTION_COLUMNS = 250, 60  # units; characters in a line of the caption, for each panel


def branch_scores(
    model: Illume, per_category: int, seeds: int, seed: int, sampling: SamplingConfig | None = None
) -> dict[str, float]:
    """GenEval of a model's drawings (`overall`) and of real scenes reconstructed from their codes (`rebuilt`)."""
    drawings = draw_and_judge(model, per_category, seeds, seed, sampling)
    scored = {"overall": drawings, "rebuilt": _reconstruct_scenes(model, drawings, seed)}
    return {name: geneval_scores(of)["geneval/overall"] for name, of in scored.items()}


def _reconstruct_scenes(model: Illume, drawings: list[Drawing], seed: int) -> list[Drawing]:
    """In place of each drawing a scene that the playground itself draws for its prompt, encoded and decoded."""
    rng = np.random.default_rng([seed, 66])
    prompts = [drawing.prompt for drawing in drawings]
    real = render_scenes([scene_for(rng, prompt.spec) for prompt in prompts])  # (B, 3, H, W)
    decoded = [model.decode(model.encode(part), list(range(len(part)))) for part in real.split(BATCH)]
    return judge_drawings(prompts, torch.cat(decoded))


def draw_figure(metrics: Path) -> str:
    """The figure of a run's metrics file as SVG; a panel without curves is left out.

    Raises:
        ValueError: the file holds no curve over images.
    """
    curves = read_metrics(metrics, x="images")
    panels = {title: [_branches(curves, prefix) for prefix in prefixes] for title, prefixes in PANELS.items()}
    panels = {title: (bold, thin) for title, (bold, thin) in panels.items() if bold}
    if not panels:
        raise ValueError(f"{metrics} lacks curves over images: it is not of a run of ablations/figure6.yaml")
    names = sorted(
        {name for bold, _ in panels.values() for name in bold}, reverse=True
    )  # semantic before pixel
    colours = dict(zip(names, COLOURS, strict=False))
    figure, all_axes = new_figure(len(panels), height=HEIGHT)
    for axes, (title, (bold, thin)) in zip(all_axes, panels.items(), strict=True):
        lines = [Line(curve, colours[name], bold=False) for name, curve in thin.items()]
        lines += [Line(curve, colours[name]) for name, curve in bold.items()]
        draw_lines(axes, lines, "images seen")
        last = ", ".join(f"{name} {bold[name][-1][1]:.2f}" for name in names if name in bold)
        axes.set_title(f"{title}\n{last}", loc="left")
    for i, (name, colour) in enumerate(colours.items()):
        all_axes[0].annotate(name, (0.02 + 0.3 * i, 0.03), xycoords="axes fraction", color=COLOURS[colour])
    caption = textwrap.fill(CAPTION, CAPTION_COLUMNS * len(panels))
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=SOFT)
    return svg_text(figure)


def _branches(curves: dict[str, Curve], prefix: str) -> dict[str, Curve]:
    """Curves (images, value) of each branch, whose name follows the prefix in a column's; their finite values."""
    found = {}
    for column, curve in curves.items():
        if (
            prefix
            and column.startswith(prefix)
            and (finite := [point for point in curve if isfinite(point[1])])
        ):
            found[column.removeprefix(prefix)] = finite
    return found
