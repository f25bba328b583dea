"""One page to send to a friend: scores beside their bounds, drawings, reconstructions, edits, curves, every figure.

The page holds its pictures and curves itself and needs no network. Its pictures are those of `evals.pictures`; of any
other folder, all PNGs are shown.
"""

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from evals.curves import chart, read_curves

STYLE = Path(__file__).with_name("report.css")
MOST = 96  # pictures of a kind: what a page can hold


class Headline(NamedTuple):
    """A score that matters most: its figure's name, and by scale the least that is asked and the goal."""

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
    """Images side by side, the words under them, the verdict if there is one, and a remark."""

    files: list[str]
    words: str = ""
    ok: bool | None = None
    note: str = ""


def write_report(folder: Path, metrics: Mapping[str, Any], runs: Mapping[str, Path], images: Path) -> Path:
    """Writes report.html.

    Args:
        folder: where the page goes.
        metrics: every figure, flat, as in report.json.
        runs: the run folder of each stage, for the curves of its metrics.csv.
        images: a folder of pictures, as this module's docstring has it.

    Returns:
        The page's path.
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


def write_page(path: Path, title: str, body: Sequence[str]) -> Path:
    """Writes a page that needs nothing beside it, whole or not at all; returns its path."""
    return replace_text(path, page(title, body))


def page(title: str, body: Sequence[str]) -> str:
    """A page that needs nothing beside it."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def replace_text(path: Path, text: str) -> Path:
    """Writes a text file whole or not at all; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)
    return path


def _opening(metrics: Mapping[str, Any]) -> str:
    where = f" on {metrics['cpus']} CPU cores" if "cpus" in metrics else ""
    when = f" in {_duration(metrics['seconds'])}" if "seconds" in metrics else ""
    return (
        '<h1>A small ILLUME,<br>grown from nothing</h1><p class="lead">One language model reads words and pictures, and '
        f"writes both. It learned everything{where}{when}, from a world of coloured shapes that draws itself: to "
        "see, to answer, to draw and to edit. Below it is asked for combinations that were kept from all its training "
        "(only prompts of one object were not), and every drawing is judged by its pixels.</p>"
    )


def _duration(seconds: float) -> str:
    minutes = round(float(seconds) / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{seconds / 3600:.1f} hours"


def _cards(metrics: Mapping[str, Any]) -> str:
    cards = [_card(h, metrics) for h in HEADLINES if h.figure in metrics]
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(headline: Headline, metrics: Mapping[str, Any]) -> str:
    """A score, a bar with ticks at its bounds, and the bounds in words."""
    score = float(metrics[headline.figure])
    bounds = headline.bounds.get(str(metrics.get("scale", "demo")))
    bar = f'<i style="width:{100 * min(max(score, 0), 1):.1f}%"></i>'
    kind, words = "plain", "reported,<br>without a bound"
    if bounds:
        least, goal = bounds
        bar += "".join(f'<u style="left:calc({100 * b:.0f}% - 1px)"></u>' for b in sorted(set(bounds)))
        kind = "below" if score < least else "reached"
        verdict = (
            ("bad", "below the bound")
            if score < least
            else ("good", "goal reached" if score >= goal > least else "reached")
        )
        beyond = f", goal {goal:.2f}" if goal > least else ""
        words = f'at least {least:.2f}{beyond}<br><span class="{verdict[0]}">{verdict[1]}</span>'
    return (
        f'<div class="card {kind}"><div class="name">{escape(headline.title)}</div><div class="score">{score:.2f}</div>'
        f'<div class="bar">{bar}</div><div class="bound">{words}</div></div>'
    )


def _galleries(images: Path) -> list[str]:
    index = images / "pictures.json"
    if not index.is_file():
        plates = [Picture([path.name], path.stem.replace("_", " ")) for path in sorted(images.glob("*.png"))]
        return [_gallery(images, "Pictures", "plates", "", plates)]
    shown = json.loads(index.read_text(encoding="utf-8"))
    drawings = [Picture([d["file"]], d["prompt"], d["ok"], _remark(d)) for d in shown["drawings"]]
    rebuilt = [Picture([r[k] for k in ("real", "stem", "whole") if k in r]) for r in shown["reconstructions"]]
    edits = [Picture([e["before"], e["image"]], e["instruction"], e["ok"]) for e in shown["edits"]]
    steps = "a scene, what the stem alone makes of its codes, and what diffusion makes of them"
    if any(len(picture.files) < 3 for picture in rebuilt):  # a detokenizer without a stem
        steps = "a scene, and what was drawn back from its codes"
    return [
        _gallery(
            images, "Drawn from words", "", "Each from its words alone, and judged from its pixels.", drawings
        ),
        _gallery(images, "Seen and drawn again", "trios", f"From the left: {steps}.", rebuilt),
        _gallery(
            images,
            "Edited",
            "pairs",
            "Before and after; right is what did as told and changed nothing else.",
            edits,
        ),
    ]


def _remark(drawing: dict[str, Any]) -> str:
    """What the judge saw in a drawing that is wrong, without the places."""
    return "" if drawing["ok"] else re.sub(r" at \([^)]*\)", "", drawing["reasons"][0])


def _gallery(images: Path, title: str, style: str, hint: str, pictures: list[Picture]) -> str:
    if not pictures:
        return ""
    judged = [p.ok for p in pictures if p.ok is not None]
    tally = f" {sum(judged)} of these {len(judged)} are right." if judged else ""
    figures = "\n".join(_figure(images, p) for p in pictures[:MOST])
    return f'<h2>{title}</h2><p class="hint">{hint}{tally}</p><div class="sheet {style}">\n{figures}\n</div>'


def _figure(images: Path, picture: Picture) -> str:
    sources = "".join(
        f'<img alt="" src="{data_url((images / name).read_bytes())}">' for name in picture.files
    )
    mark = {None: "", True: '<span class="good">✓</span> ', False: '<span class="bad">✗</span> '}[picture.ok]
    note = f"<small>{escape(picture.note)}</small>" if picture.note else ""
    caption = f"<figcaption>{mark}{escape(picture.words)}{note}</figcaption>" if mark or picture.words else ""
    return f"<figure><div>{sources}</div>{caption}</figure>"


def data_url(png: bytes) -> str:
    """A PNG as it stands within a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _curves(runs: Mapping[str, Path]) -> str:
    curves = {stage: read_curves(Path(folder) / "metrics.csv") for stage, folder in runs.items()}
    charts = "\n".join(chart(stage, lines) for stage, lines in curves.items() if lines)
    if not charts:
        return ""
    hint = "The loss of each stage: thin on what it trains on, bold on a validation set that stays the same."
    return f'<h2>How it learned</h2><p class="hint">{hint}</p><div class="charts">\n{charts}\n</div>'


def _figures(metrics: Mapping[str, Any]) -> str:
    """All figures, those of one family ("geneval/...") in a table of their own."""
    tables = []
    for family, names in groupby(sorted(metrics, key=_family), key=_family):
        rows = "".join(_row(name.removeprefix(f"{family}/"), metrics[name]) for name in names)
        tables.append(
            f"<table><thead><tr><th colspan=2>{escape(family or 'run')}</th></tr></thead>{rows}</table>"
        )
    return f'<h2>Every figure</h2><div class="figures">{"".join(tables)}</div>'


def _family(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""


def _row(name: str, value: Any) -> str:
    shown = str(value)
    if isinstance(value, float):
        shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"<tr><td>{escape(name)}</td><td>{escape(shown)}</td></tr>"


def _footer(metrics: Mapping[str, Any]) -> str:
    facts = [f"{name} {metrics[name]}" for name in ("seed", "machine", "date") if name in metrics]
    command = f"<code>{escape(str(metrics['command']))}</code>" if "command" in metrics else ""
    return f"<footer>{' · '.join(filter(None, [command, *map(escape, facts)]))}</footer>"
