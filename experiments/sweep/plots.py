"""A sweep's plots as inline SVG: values by trial and while training, what mattered, and trials as lines across axes."""

from collections.abc import Mapping, Sequence
from math import isfinite, log10
from typing import NamedTuple

from markupsafe import Markup

from common.pages import fragment, join

WIDTH, HEIGHT = 320, 170  # of a drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 22  # margins
GOOD, BAD, BEST = "var(--a)", "var(--d)", "var(--b)"  # colours of page.css: complete, pruned, the best


class Axis(NamedTuple):
    """A scale from 0 to 1, or the places of choices."""

    low: float
    high: float
    log: bool = False
    choices: Sequence[object] = ()

    def at(self, value: object) -> float:
        """Where a value stands."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        low, high, here = (log10(v) if self.log else float(v) for v in (self.low, self.high, value))
        return min(max((here - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ends(self) -> tuple[str, str]:
        """What stands at the bottom and the top."""
        if self.choices:
            return str(self.choices[0]), str(self.choices[-1])
        return f"{self.low:.3g}", f"{self.high:.3g}"


class Trace(NamedTuple):
    """A trial in a plot: its number, its values by step or by axis, and what became of it."""

    number: int
    points: Sequence[tuple[float, float]]
    colour: str


def spread(values: Sequence[float]) -> Axis:
    """A scale for values, with a little room."""
    kept = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(kept), max(kept)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return Axis(low - room, high + room)


def history(title: str, points: Sequence[Trace], maximize: bool) -> Markup:
    """A dot a trial, its value over its number; a line along the best until then. Pruned trials may stand at the edge."""
    whole = [value for trace in points if trace.colour != BAD for _, value in trace.points]
    axis = spread(whole or [value for trace in points for _, value in trace.points])
    last = max((trace.number for trace in points), default=0)
    across = Axis(-0.5, last + 0.5)
    parts, steps, best = [_frame(axis, f"trial {last}")], [], None
    for trace in sorted(points):
        ((_, value),) = trace.points
        x, y = _place(across.at(trace.number), axis.at(value))
        hollow = trace.colour == BAD
        parts.append(_dot(x, y, trace.colour, hollow, f"trial {trace.number}: {value:.4g}"))
        if not hollow and (best is None or (value > best if maximize else value < best)):
            if best is not None:
                steps.append((x, _place(0, axis.at(best))[1]))
            best = value
            steps.append((x, y))
    if best is not None:
        steps.append((_place(across.at(last), 0)[0], _place(0, axis.at(best))[1]))
    legend = _legend(("complete", GOOD), ("pruned", BAD), ("best so far", BEST))
    return _chart(title, legend, join([_polyline(steps, BEST, 1.5), *parts]))


def training(title: str, traces: Sequence[Trace]) -> Markup:
    """What each trial logged while it trained: those that were pruned end early."""
    ends = [trace.points[-1][1] for trace in traces if trace.colour != BAD]
    tops = [value for trace in traces for step, value in trace.points]
    last = max(step for trace in traces for step, _ in trace.points)
    settled = [v for trace in traces for step, v in trace.points if step >= 0.25 * last]
    axis, across = spread([*ends, *settled] or tops), Axis(0, last)
    lines = []
    for trace in sorted(traces, key=lambda t: t.colour == BEST):
        places = [_place(across.at(step), axis.at(value)) for step, value in trace.points]
        lines.append(_polyline(places, trace.colour, 2.2 if trace.colour == BEST else 1.1))
        lines.append(_dot(*places[-1], trace.colour, False, f"trial {trace.number}"))
    legend = _legend(("complete", GOOD), ("pruned", BAD), ("the best", BEST))
    return _chart(title, legend, _frame(axis, f"step {last + 1:,.0f}") + join(lines))


def importance(title: str, shares: Mapping[str, float]) -> Markup:
    """A bar a key: its share of what decides the objective."""
    tall, parts = 26, []
    for row, (key, share) in enumerate(shares.items()):
        y = TOP + row * tall
        bar = fragment(
            """<text x="0" y="{{ y + 9 }}">{{ key }}</text>
<text x="{{ right }}" y="{{ y + 9 }}" text-anchor="end">{{ share }}</text>
<rect x="0" y="{{ y + 13 }}" width="{{ width }}" height="6" rx="3" style="fill:{{ colour }}"/>""",
            y=y,
            key=key,
            right=WIDTH,
            share=f"{share:.2f}",
            width=f"{WIDTH * share:.1f}",
            colour=GOOD,
        )
        parts.append(bar)
    return _chart(title, Markup(), join(parts), height=TOP + tall * len(shares) + 4)


def parallel(title: str, axes: Mapping[str, Axis], traces: Sequence[tuple[Sequence[object], str]]) -> Markup:
    """A line a trial across an axis a key and an objective; the best on top.

    Args:
        title: of the plot.
        axes: of every key and objective, by name.
        traces: a trial's value on each axis, and its colour.
    """
    names = list(axes)
    width = max(WIDTH, 64 * len(names))
    xs = [30 + i * (width - 60) / max(1, len(names) - 1) for i in range(len(names))]
    top, bottom = 38, HEIGHT - 18
    parts = []
    for i, (x, name) in enumerate(zip(xs, names, strict=True)):
        low, high = axes[name].ends()
        parts.append(_axis_line(x, x, top, bottom))
        parts.append(_middle(x, 8 if i % 2 else 18, name))  # in turn, for they are long
        parts += [_middle(x, top - 6, high), _middle(x, bottom + 12, low)]
    for values, colour in sorted(traces, key=lambda t: (t[1] == BEST, t[1] == GOOD)):
        heights = [bottom - (bottom - top) * axes[name].at(v) for name, v in zip(names, values, strict=True)]
        thick, clear = (2.4, 1.0) if colour == BEST else (1.1, 0.7)
        parts.append(_polyline(list(zip(xs, heights, strict=True)), colour, thick, clear))
    legend = _legend(("complete", GOOD), ("pruned", BAD), ("the best", BEST))
    return _chart(title, legend, join(parts), width)


def _chart(title: str, legend: Markup, drawing: Markup, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    return fragment(
        """<figure class="chart"{% if wide %} style="grid-column:1/-1"{% endif %}><figcaption><b>{{ title }}</b>
{{ legend }}</figcaption><div class="wide"><svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ title }}"
{%- if wide %} style="min-width:{{ width }}px"{% endif %}>{{ drawing }}</svg></div></figure>""",
        title=title,
        legend=legend,
        drawing=drawing,
        width=width,
        height=height,
        wide=width > WIDTH,
    )


def _legend(*keys: tuple[str, str]) -> Markup:
    return fragment(
        '{% for words, colour in keys %}<span class="key" style="color:{{ colour }}">{{ words }}</span> {% endfor %}',
        keys=keys,
    )


def _place(x: float, y: float) -> tuple[float, float]:
    """From shares of the plot to its units; upwards is more."""
    return LEFT + (WIDTH - LEFT - RIGHT) * x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y


def _frame(axis: Axis, label: str) -> Markup:
    """Two faint lines across with their values, and what the right end is."""
    parts = []
    for share in (0.08, 0.92):
        x, y = _place(0, share)
        value = axis.low + (axis.high - axis.low) * share
        parts.append(_axis_line(x, WIDTH - RIGHT, y, y))
        parts.append(_text(LEFT - 5, y + 3, f"{value:.3g}", "end"))
    return join([*parts, _text(WIDTH - RIGHT, HEIGHT - 6, label, "end")])


def _axis_line(x1: float, x2: float, y1: float, y2: float) -> Markup:
    return Markup('<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(x1, x2, y1, y2)


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _polyline(
    places: Sequence[tuple[float, float]], colour: str, thick: float, clear: float = 0.85
) -> Markup:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = Markup('<polyline points="{}" style="stroke:{};stroke-width:{};opacity:{}"/>')
    return line.format(points, colour, thick, clear)


def _dot(x: float, y: float, colour: str, hollow: bool, words: str) -> Markup:
    fill = f"fill:none;stroke:{colour}" if hollow else f"fill:{colour}"
    dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6" style="{}"><title>{}</title></circle>')
    return dot.format(x, y, fill, words)


def _middle(x: float, y: float, words: str) -> Markup:
    return _text(x, y, words, "middle")
