"""Plots as SVG by matplotlib: inline in a page, whose colours they follow, or as a file of their own."""

import io
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from common.pages import fragment
from evals.reports.curves import Curve, average

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 320, 150  # of a panel, in the units of its SVG
WARM_UP = 0.02  # share of the steps whose values may leave the panel at the top
COLOURS = {
    "a": "#2f6f8f",
    "b": "#c4623a",
    "c": "#5d8a4a",
    "d": "#8a5d9a",
}  # as in page.css, and of its classes
INK, SOFT, LINE = "#2b2a27", "#77736a", "#e6e1d7"
VARIABLES = {**COLOURS, "ink": INK, "soft": SOFT, "line": LINE}
STYLE = Path(__file__).with_name("plot.mplstyle")


class Line(NamedTuple):
    """A curve, a key of COLOURS, and whether it is bold with a dot at its end, or thin and averaged."""

    points: Curve
    colour: str
    bold: bool = True


def new_figure(
    panels: int = 1, width: float = WIDTH, height: float = HEIGHT, share_y: bool = False
) -> "tuple[Figure, list[Axes]]":
    """A figure with panels side by side, each of `width` x `height`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(fname=STYLE):
        figure = Figure((panels * width / 72, height / 72), dpi=72, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False, sharey=share_y)
    return figure, list(axes[0])


def draw_lines(axes: "Axes", lines: Sequence[Line], x_label: str) -> None:
    """Draws curves from zero up, the last one on top; values that are no numbers leave gaps."""
    last = max(x for line in lines for x, _ in line.points)
    finite = [(x, y) for line in lines for x, y in line.points if isfinite(y)]
    settled = [y for x, y in finite if x >= WARM_UP * last] or [y for _, y in finite] or [0.0]
    top = max(settled) * 1.05 if max(settled) > 0 else 1.0
    for line in lines:
        points = line.points if line.bold else average(line.points)
        x, y = zip(
            *((x, min(max(y, 0.0), top) if isfinite(y) else float("nan")) for x, y in points), strict=True
        )
        colour, width = COLOURS[line.colour], 2.0 if line.bold else 1.0
        end = [len(x) - 1] if line.bold and isfinite(y[-1]) else []
        axes.plot(
            x, y, color=colour, linewidth=width, alpha=1 if line.bold else 0.45, marker="o", markersize=4,
            markevery=end, clip_on=False, gid="class:curve",
        )  # fmt: skip
    axes.set(xlim=(0, last or 1), ylim=(0, top), xlabel=x_label)
    axes.locator_params(nbins=4)


def svg_text(figure: "Figure", transparent: bool = False) -> str:
    """A figure as an SVG file: the same bytes for the same figure."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    for artist in figure.findobj():
        artist.set_clip_on(False)  # clips are references, which a page has none of; values are kept in range
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context(fname=STYLE):
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=transparent)
    return buffer.getvalue()


def inline_svg(figure: "Figure", label: str) -> Markup:
    """A figure as an element of a page, in its colours, whether light or dark; `label` is for screen readers.

    An artist with the gid `class:NAME` becomes a group of that class, one with `title:TEXT` has a tooltip.
    """
    text = svg_text(figure, transparent=True)
    text = re.sub(
        r"<(?:metadata|defs>\s*<style).*?</(?:metadata|style>\s*</defs)>", "", text, flags=re.DOTALL
    )
    text = text[text.index(">", text.index("<svg")) + 1 :]
    text = re.sub(r'<g id="class:([^"]*)">', r'<g class="\1">', text)
    text = re.sub(r'<g id="title:([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for name, colour in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    width, height = figure.get_size_inches() * 72
    box = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, height, label)
    return box + Markup(text)


def chart(title: str, legend: Sequence[tuple[str, str]], drawing: Markup, broad: bool = False) -> Markup:
    """A drawing under its title and a legend of (colour, text); a broad one takes the page's width, and scrolls."""
    return fragment(
        """<figure class="chart{{ ' broad' if broad }}"><figcaption><b>{{ title }}</b>
{%- for colour, text in legend %} <span class="key {{ colour }}">{{ text }}</span>{% endfor %}</figcaption>{# -#}
<div class="wide">{{ drawing }}</div></figure>""",
        title=title,
        legend=legend,
        drawing=drawing,
        broad=broad,
    )
