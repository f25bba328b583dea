"""One page on a model: scores beside their bounds, drawings, reconstructions, edits, curves, every figure.

The page holds its pictures and curves itself and needs no network. Its pictures are those of `example_images`; of any
other folder, all PNGs are shown.
"""

import re
from collections.abc import Mapping
from itertools import cycle, groupby
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from common.images import open_image
from common.json_files import read_object
from common.pages import data_url, render, write_page
from evals.reports.curves import Curve, read_losses
from evals.reports.plot import COLOURS, Line, chart, draw_lines, inline_svg, new_figure

MAX_PICTURES = 96  # of a kind
HEADLINES = {  # by title, a figure's name, and by scale its lower bound and the goal
    "GenEval": ("geneval/overall", {"demo": (0.60, 0.80), "reference": (0.80, 0.95)}),
    "Questions answered": ("vqa/accuracy", {"demo": (0.75, 0.95), "reference": (0.90, 0.98)}),
    "Edits exactly right": ("editing/accuracy", {"reference": (0.60, 0.90)}),
    "Scenes rebuilt": ("reconstruction/exact", {"demo": (0.90, 0.97), "reference": (0.90, 0.97)}),
    "Codes used": ("codebook/used", {"demo": (0.90, 0.90), "reference": (0.90, 0.90)}),
}


class Picture(NamedTuple):
    """Images side by side as data URLs, the caption under them, the verdict if there is one, and a remark."""

    sources: list[str]
    caption: str = ""
    ok: bool | None = None
    note: str = ""


class Gallery(NamedTuple):
    """Pictures of a kind; `style` is a class of the page's CSS."""

    title: str
    style: str
    hint: str
    pictures: list[Picture]


def write_report(folder: Path, metrics: Mapping[str, Any], runs: Mapping[str, Path], images: Path) -> Path:
    """Writes report.html into `folder`; returns its path.

    Args:
        folder: where the page goes.
        metrics: every figure, flat, as in report.json.
        runs: the run folder of each stage, for the curves of its metrics.csv.
        images: a folder of pictures.
    """
    curves = {stage: read_losses(Path(run) / "metrics.csv") for stage, run in runs.items()}
    body = render(
        Path(__file__).with_name("report.html"),
        cpus=metrics.get("cpus"),
        time=_duration(float(metrics["seconds"])) if "seconds" in metrics else "",
        cards=[_card(title, metrics) for title, (figure, _) in HEADLINES.items() if figure in metrics],
        galleries=_galleries(Path(images)),
        charts=[loss_chart(stage, of) for stage, of in curves.items() if of],
        families=_families(metrics),
        command=metrics.get("command"),
        facts=[f"{name} {metrics[name]}" for name in ("seed", "machine", "date") if name in metrics],
    )
    return write_page(Path(folder) / "report.html", "A small ILLUME", [body])


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{seconds / 3600:.1f} hours"


def _card(title: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A score, the position of its bounds on a bar, and the bounds as text. A score that is no number reaches nothing."""
    figure, by_scale = HEADLINES[title]
    score, bounds = float(metrics[figure]), by_scale.get(str(metrics.get("scale", "demo")))
    lower, goal = bounds or (0.0, 0.0)
    reached = "goal reached" if score >= goal > lower else "reached"
    return {
        "kind": "plain" if not bounds else "reached" if score >= lower else "below",
        "title": title,
        "score": f"{score:.2f}",
        "width": f"{100 * min(max(score, 0), 1):.1f}" if isfinite(score) else "0",
        "ticks": [f"{100 * b:.0f}" for b in sorted(set(bounds or ()))],
        "bounds": bounds and f"at least {lower:.2f}" + (f", goal {goal:.2f}" if goal > lower else ""),
        "verdict": reached if score >= lower else "below the bound",
    }


def _galleries(images: Path) -> list[Gallery]:
    def pictures(rows: list[tuple[Any, ...]]) -> list[Picture]:
        return [
            Picture([data_url(read_picture(images, name)) for name in names], *about)
            for names, *about in rows[:MAX_PICTURES]
        ]

    index = images / "pictures.json"
    if not index.is_file():
        plates = [([path.name], path.stem.replace("_", " ")) for path in sorted(images.glob("*.png"))]
        return [Gallery("Pictures", "plates", "", pictures(plates))]
    shown = read_object(index)
    try:
        drawings = [([d["file"]], d["prompt"], d["ok"], _remark(d)) for d in shown["drawings"]]
        rebuilt = [([r[k] for k in ("real", "stem", "whole") if k in r],) for r in shown["reconstructions"]]
        edits = [([e["before"], e["image"]], e["instruction"], e["ok"]) for e in shown["edits"]]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{index} is not what `python -m evals --images` wrote: run it again") from error
    steps = "a scene, what the stem alone makes of its codes, and what diffusion makes of them"
    if any(len(names) < 3 for (names,) in rebuilt):  # a detokenizer without a stem
        steps = "a scene, and what was decoded from its codes"
    hint = "Before and after; right is what follows the instruction and changes nothing else."
    return [
        Gallery(
            "Drawn from text", "", "Each from its text alone, and judged from its pixels.", pictures(drawings)
        ),
        Gallery("Reconstructed", "trios", f"From the left: {steps}.", pictures(rebuilt)),
        Gallery("Edited", "pairs", hint, pictures(edits)),
    ]


def _remark(drawing: Mapping[str, Any]) -> str:
    """What the judge saw in a drawing that is wrong, without positions."""
    return "" if drawing["ok"] else re.sub(r" at \([^)]*\)", "", drawing["reasons"][0])


def read_picture(folder: Path, name: Any) -> bytes:
    """The content of an image file that lies directly in a folder.

    Raises:
        ValueError: it lies elsewhere, or is no image.
        FileNotFoundError: it is not there.
    """
    path = folder / str(name)
    if not isinstance(name, str) or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder / 'pictures.json'} names {name!r}, which is not in {folder}")
    content = path.read_bytes()
    open_image(content, str(path))
    return content


def loss_chart(title: str, curves: Mapping[str, Curve]) -> Markup:
    """The losses of one stage: a colour for each, its last value, and its curves over steps."""
    losses: dict[str, dict[str, Curve]] = {}
    for column, curve in sorted(curves.items(), reverse=True):  # text before draw, val before train
        split, _, loss = column.partition("/")
        losses.setdefault(loss.removeprefix("loss").removeprefix("_") or "loss", {})[split] = curve
    colours = dict(zip(losses, cycle(COLOURS), strict=False))
    lines = [
        Line(by_split[split], colours[loss], bold=split == "val")
        for split in ("train", "val")
        for loss, by_split in losses.items()
        if by_split.get(split)
    ]
    figure, (axes,) = new_figure()
    draw_lines(axes, lines, "step")
    last = {loss: (by_split.get("val") or by_split["train"])[-1][1] for loss, by_split in losses.items()}
    legend = [(colours[loss], f"{loss} {value:.3g}") for loss, value in last.items()]
    return chart(title, legend, inline_svg(figure, title))


def _families(metrics: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """All figures, those of one family ("geneval/...") in a table of their own."""

    def family(name: str) -> str:
        return name.split("/")[0] if "/" in name else ""

    return {
        key: [(name.removeprefix(f"{key}/"), _number(metrics[name])) for name in names]
        for key, names in groupby(sorted(metrics, key=family), key=family)
    }


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
