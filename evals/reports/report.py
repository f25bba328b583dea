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
from common.pages import data_url, fragment, join, write_page
from evals.reports.curves import Curve, read_losses
from evals.reports.plot import COLOURS, Line, chart, draw_lines, inline_svg, new_figure

MAX_PICTURES = 96  # of a kind


class Headline(NamedTuple):
    """A score that matters most: its figure's name, and by scale the lower bound and the goal."""

    title: str
    figure: str
    bounds: dict[str, tuple[float, float]]


HEADLINES = (
    Headline("GenEval", "geneval/overall", {"demo": (0.60, 0.80), "reference": (0.80, 0.95)}),
    Headline("Questions answered", "vqa/accuracy", {"demo": (0.75, 0.95), "reference": (0.90, 0.98)}),
    Headline("Edits exactly right", "editing/accuracy", {"reference": (0.60, 0.90)}),
    Headline("Scenes rebuilt", "reconstruction/exact", {"demo": (0.90, 0.97), "reference": (0.90, 0.97)}),
    Headline("Codes used", "codebook/used", {"demo": (0.90, 0.90), "reference": (0.90, 0.90)}),
)


class Picture(NamedTuple):
    """Images side by side, the caption under them, the verdict if there is one, and a remark."""

    files: list[str]
    caption: str = ""
    ok: bool | None = None
    note: str = ""


def write_report(folder: Path, metrics: Mapping[str, Any], runs: Mapping[str, Path], images: Path) -> Path:
    """Writes report.html into `folder`; returns its path.

    Args:
        folder: where the page goes.
        metrics: every figure, flat, as in report.json.
        runs: the run folder of each stage, for the curves of its metrics.csv.
        images: a folder of pictures.
    """
    body = [
        _opening(metrics),
        _cards(metrics),
        *_galleries(Path(images)),
        _curves(runs),
        _figures(metrics),
        _footer(metrics),
    ]
    return write_page(Path(folder) / "report.html", "A small ILLUME", body)


def _opening(metrics: Mapping[str, Any]) -> Markup:
    return fragment(
        """<h1>A small ILLUME,<br>trained from scratch</h1><p class="lead">One language model reads text and pictures, and
writes both. It learned everything{% if cpus %} on {{ cpus }} CPU cores{% endif %}{% if time %} in {{ time }}{% endif %},
from a world of coloured shapes that draws itself: to see, to answer, to draw and to edit. Below it is asked for
combinations that were held out of all its training (only prompts of one object were not), and every drawing is judged by
its pixels.</p>""",
        cpus=metrics.get("cpus"),
        time=_duration(metrics["seconds"]) if "seconds" in metrics else "",
    )


def _duration(seconds: Any) -> str:
    minutes = round(float(seconds) / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{float(seconds) / 3600:.1f} hours"


def _cards(metrics: Mapping[str, Any]) -> Markup:
    cards = [_card(headline, metrics) for headline in HEADLINES if headline.figure in metrics]
    return Markup('<div class="cards">{}</div>').format(join(cards))


def _card(headline: Headline, metrics: Mapping[str, Any]) -> Markup:
    """A score, a bar with ticks at its bounds, and the bounds as text. A score that is no number reaches nothing."""
    score = float(metrics[headline.figure])
    bounds = headline.bounds.get(str(metrics.get("scale", "demo")))
    least, goal = bounds or (0.0, 0.0)
    reached = score >= least
    return fragment(
        """<div class="card {{ kind }}"><div class="name">{{ title }}</div><div class="score">{{ score }}</div>{# -#}
<div class="bar"><i style="width:{{ width }}%"></i>
{%- for tick in ticks %}<u style="left:calc({{ tick }}% - 1px)"></u>{% endfor %}</div><div class="bound">
{%- if text %}{{ text }}<br><span class="{{ mark }}">{{ verdict }}</span>
{%- else %}reported,<br>without a bound{% endif %}</div></div>""",
        kind="plain" if not bounds else "reached" if reached else "below",
        title=headline.title,
        score=f"{score:.2f}",
        width=f"{100 * min(max(score, 0), 1):.1f}" if isfinite(score) else "0",
        ticks=[f"{100 * b:.0f}" for b in sorted(set(bounds or ()))],
        text=bounds and f"at least {least:.2f}" + (f", goal {goal:.2f}" if goal > least else ""),
        mark="good" if reached else "bad",
        verdict=("goal reached" if score >= goal > least else "reached") if reached else "below the bound",
    )


def _galleries(images: Path) -> list[Markup]:
    index = images / "pictures.json"
    if not index.is_file():
        plates = [Picture([path.name], path.stem.replace("_", " ")) for path in sorted(images.glob("*.png"))]
        return [_gallery(images, "Pictures", "plates", "", plates)]
    shown = read_object(index)
    try:
        drawings = [Picture([d["file"]], d["prompt"], d["ok"], _remark(d)) for d in shown["drawings"]]
        rebuilt = [
            Picture([r[k] for k in ("real", "stem", "whole") if k in r]) for r in shown["reconstructions"]
        ]
        edits = [Picture([e["before"], e["image"]], e["instruction"], e["ok"]) for e in shown["edits"]]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{index} is not what `python -m evals --images` wrote: run it again") from error
    steps = "a scene, what the stem alone makes of its codes, and what diffusion makes of them"
    if any(len(picture.files) < 3 for picture in rebuilt):  # a detokenizer without a stem
        steps = "a scene, and what was decoded from its codes"
    hints = (
        "Each from its text alone, and judged from its pixels.",
        f"From the left: {steps}.",
        "Before and after; right is what follows the instruction and changes nothing else.",
    )
    return [
        _gallery(images, "Drawn from text", "", hints[0], drawings),
        _gallery(images, "Reconstructed", "trios", hints[1], rebuilt),
        _gallery(images, "Edited", "pairs", hints[2], edits),
    ]


def _remark(drawing: Mapping[str, Any]) -> str:
    """What the judge saw in a drawing that is wrong, without positions."""
    return "" if drawing["ok"] else re.sub(r" at \([^)]*\)", "", drawing["reasons"][0])


def _gallery(images: Path, title: str, style: str, hint: str, pictures: list[Picture]) -> Markup:
    judged = [p.ok for p in pictures if p.ok is not None]
    return fragment(
        """{% if figures %}<h2>{{ title }}</h2><p class="hint">{{ hint }}
{%- if judged %} {{ right }} of these {{ judged }} are right.{% endif %}</p><div class="sheet {{ style }}">
{{ figures }}
</div>{% endif %}""",
        title=title,
        hint=hint,
        style=style,
        judged=len(judged),
        right=sum(map(bool, judged)),
        figures=join([_figure(images, p) for p in pictures[:MAX_PICTURES]], "\n"),
    )


def _figure(images: Path, picture: Picture) -> Markup:
    return fragment(
        """<figure><div>{% for source in sources %}<img alt="" src="{{ source }}">{% endfor %}</div>
{%- if caption or ok is not none %}<figcaption>
{%- if ok is not none %}<span class="{{ 'good' if ok else 'bad' }}">{{ '✓' if ok else '✗' }}</span> {% endif %}
{{- caption }}{% if note %}<small>{{ note }}</small>{% endif %}</figcaption>{% endif %}</figure>""",
        sources=[data_url(read_picture(images, name)) for name in picture.files],
        caption=picture.caption,
        ok=picture.ok,
        note=picture.note,
    )


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


def _curves(runs: Mapping[str, Path]) -> Markup:
    curves = {stage: read_losses(Path(folder) / "metrics.csv") for stage, folder in runs.items()}
    return fragment(
        """{% if charts %}<h2>How it learned</h2>
<p class="hint">The loss of each stage: thin on what it trains on, bold on a validation set
that stays the same.</p><div class="charts">
{{ charts }}
</div>{% endif %}""",
        charts=join([loss_chart(stage, of) for stage, of in curves.items() if of], "\n"),
    )


def loss_chart(title: str, curves: Mapping[str, Curve]) -> Markup:
    """The losses of one stage: a colour for each, its last value, and its curves over steps."""
    losses: dict[str, dict[str, Curve]] = {}
    for column, curve in sorted(curves.items(), reverse=True):  # text before draw, val before train
        split, _, loss = column.partition("/")
        losses.setdefault(loss.removeprefix("loss").removeprefix("_") or "loss", {})[split] = curve
    colours = dict(zip(losses, cycle(COLOURS), strict=False))
    lines = [
        Line(curve, colours[loss], bold=split == "val")
        for split in ("train", "val")
        for loss, by_split in losses.items()
        if (curve := by_split.get(split))
    ]
    figure, (axes,) = new_figure()
    draw_lines(axes, lines, "step")
    legend = [
        (colours[loss], f"{loss} {(of.get('val') or of['train'])[-1][1]:.3g}") for loss, of in losses.items()
    ]
    return chart(title, legend, inline_svg(figure, title))


def _figures(metrics: Mapping[str, Any]) -> Markup:
    """All figures, those of one family ("geneval/...") in a table of their own."""
    families = groupby(sorted(metrics, key=_family), key=_family)
    rows = {
        family: [(name.removeprefix(f"{family}/"), _number(metrics[name])) for name in names]
        for family, names in families
    }
    return fragment(
        """<h2>Every figure</h2><div class="figures">
{%- for family, rows in families.items() %}<table><thead><tr><th colspan=2>{{ family or 'run' }}</th></tr></thead>
{%- for name, value in rows %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table>{% endfor %}</div>""",
        families=rows,
    )


def _family(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _footer(metrics: Mapping[str, Any]) -> Markup:
    return fragment(
        """<footer>{% if command %}<code>{{ command }}</code>{% if facts %} · {% endif %}{% endif %}
{{- facts | join(' · ') }}</footer>""",
        command=metrics.get("command"),
        facts=[f"{name} {metrics[name]}" for name in ("seed", "machine", "date") if name in metrics],
    )
