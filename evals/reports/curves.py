"""Loss curves as inline SVG, from a run's metrics.csv: training thin, validation bold, a colour for each loss."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from math import floor, isfinite, log10
from pathlib import Path

from markupsafe import Markup

from common.pages import fragment, join

WIDTH, HEIGHT = 320, 150  # of the drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 20  # margins
POINTS = 80  # a longer training curve is averaged down to these
WARM_UP = 0.02  # share of the steps whose losses may leave the picture at the top
COLOURS = ("a", "b", "c", "d")  # classes of report.css

Curve = list[tuple[float, float]]  # (step, value)


def read_metrics(path: Path) -> dict[str, Curve]:
    """Every column of a metrics file that bears a metric's name, with its points in order; NaN is one, too."""
    if not path.is_file():
        return {}
    curves: dict[str, Curve] = defaultdict(list)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name and name not in ("step", "epoch") and (point := _point(row, text)):
                    curves[name].append(point)
    return dict(curves)


def read_curves(path: Path) -> dict[str, Curve]:
    """The losses of a metrics file by column; `train/loss` only where it is not split into parts."""
    losses = ("train/loss", "val/loss")
    curves = {name: curve for name, curve in read_metrics(path).items() if name.startswith(losses)}
    for name in losses:
        if any(other.startswith(f"{name}_") for other in curves):
            curves.pop(name, None)
    return curves


def _point(row: dict[str, str], text: str | None) -> tuple[float, float] | None:
    try:  # a run that is being written may end in half a row
        point = float(row["step"] or "nan"), float(text or "nan")
    except (ValueError, KeyError, TypeError):
        return None
    return point if text and isfinite(point[0]) else None


def average(curve: Curve, points: int = POINTS) -> Curve:
    """A curve of at most `points` points, each the mean of its neighbours; one without a number leaves none there."""
    size = -(-len(curve) // points) or 1
    groups = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(sum(s for s, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]


def chart(title: str, curves: dict[str, Curve]) -> Markup:
    """One small multiple: a title, the last value of each loss, and the curves over steps from zero up."""
    losses = sorted({_loss(name) for name in curves}, reverse=True)  # text before draw, stem before diffusion
    colours = {loss: COLOURS[i % len(COLOURS)] for i, loss in enumerate(losses)}
    lines = [
        (f"{name.split('/')[0]} {colours[_loss(name)]}", curve) for name, curve in sorted(curves.items())
    ]
    last = max(step for curve in curves.values() for step, _ in curve)
    legend = join([_legend(loss, colours[loss], curves) for loss in losses], " ")
    return figure(title, title, legend, plot(lines, f"step {last + 1:,.0f}"))


def figure(title: str, label: str, legend: Markup, drawing: Markup) -> Markup:
    """A drawing of WIDTH x HEIGHT under its title and legend; `label` is what a screen reader says of it."""
    return fragment(
        """<figure class="chart"><figcaption><b>{{ title }}</b> {{ legend }}</figcaption>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ label }}">{{ drawing }}</svg></figure>""",
        title=title,
        label=label,
        legend=legend,
        drawing=drawing,
        width=WIDTH,
        height=HEIGHT,
    )


def plot(lines: Sequence[tuple[str, Curve]], label: str) -> Markup:
    """The drawing alone, WIDTH x HEIGHT: curves on a common scale from zero up, the last on top.

    Args:
        lines: of each curve its classes in report.css: `train` (thin, averaged) or `val` (bold), and a colour.
        label: what the right end of the axis is.
    """
    last = max(step for _, curve in lines for step, _ in curve)
    finite = [(step, value) for _, curve in lines for step, value in curve if isfinite(value)]
    settled = [value for step, value in finite if step >= WARM_UP * last] or [v for _, v in finite] or [0.0]
    top = max(settled) * 1.05 if max(settled) > 0 else 1.0
    drawn = [
        _line(average(curve) if style.startswith("train") else curve, last, top, style)
        for style, curve in lines
    ]
    return _frame(last, top, label) + join(drawn)


def _loss(column: str) -> str:
    return column.split("/", 1)[1].removeprefix("loss").removeprefix("_") or "loss"


def _legend(loss: str, colour: str, curves: dict[str, Curve]) -> Markup:
    """A loss's name and last value, on the validation set where it was measured there."""
    column = "loss" if loss == "loss" else f"loss_{loss}"
    curve = curves.get(f"val/{column}") or curves[f"train/{column}"]
    return fragment(
        '<span class="key {{ colour }}">{{ loss }} {{ last }}</span>',
        colour=colour,
        loss=loss,
        last=f"{curve[-1][1]:.3g}",
    )


def _place(step: float, value: float, last: float, top: float) -> tuple[float, float]:
    x = LEFT + (WIDTH - LEFT - RIGHT) * step / (last or 1)
    y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value, 0), top) / top
    return round(x, 1), round(y, 1)


def _line(curve: Curve, last: float, top: float, style: str) -> Markup:
    """A line in as many pieces as values that are no numbers leave, and a dot at its end, if that is a number."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for step, value in curve:
        if isfinite(value):
            pieces[-1].append(_place(step, value, last, top))
        elif pieces[-1]:
            pieces.append([])
    return fragment(
        """{% for piece in pieces if piece %}<polyline class="{{ style }}" points="
{%- for x, y in piece %}{{ x }},{{ y }}{{ ' ' if not loop.last }}{% endfor %}"/>{% endfor %}
{%- if pieces[-1] and style.startswith('val') %}<circle class="{{ style }}" cx="{{ pieces[-1][-1][0] }}"
{{- ' ' }}cy="{{ pieces[-1][-1][1] }}" r="2.4"/>{% endif %}""",
        pieces=pieces,
        style=style,
    )


def _frame(last: float, top: float, label: str) -> Markup:
    """Two faint lines across with their values, and what the right end is."""
    lines = [(f"{value:g}", *_place(0, value, last, top)) for value in (0.0, _round_below(top))]
    return fragment(
        """{% for value, x, y in lines %}<line x1="{{ x }}" x2="{{ right }}" y1="{{ y }}" y2="{{ y }}"/>
{{- '' }}<text x="{{ x - 5 }}" y="{{ y + 3 }}" text-anchor="end">{{ value }}</text>{% endfor %}
<text x="{{ right }}" y="{{ bottom }}" text-anchor="end">{{ label }}</text>""",
        lines=lines,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - 6,
        label=label,
    )


def _round_below(top: float) -> float:
    """The largest of ..., 0.5, 1, 2, 5, 10, ... that does not exceed `top`."""
    power = 10.0 ** floor(log10(top))
    return max(power * digit for digit in (1, 2, 5) if power * digit <= top)
