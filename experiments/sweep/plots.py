"""A sweep's plots: values by trial and while training, what mattered, and trials as lines across axes."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite, log10
from typing import NamedTuple

from markupsafe import Markup

from evals.reports.plot import COLOURS, INK, LINE, SOFT, WIDTH, chart, inline_svg, new_figure

HEIGHT = 170  # of a plot
GOOD, BAD, BEST = "a", "d", "b"  # colours: complete, pruned, the best
LEGEND = ((GOOD, "complete"), (BAD, "pruned"))


class Axis(NamedTuple):
    """A scale from 0 to 1, or choices at equal distances."""

    low: float
    high: float
    log: bool = False
    choices: Sequence[object] = ()

    def at(self, value: object) -> float:
        """The position of a value on it."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        low, high, here = (log10(v) if self.log else float(v) for v in (self.low, self.high, value))
        return min(max((here - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def clip(self, value: float) -> float:
        """The nearest value within it."""
        return min(max(value, self.low), self.high)

    def ends(self) -> tuple[str, str]:
        """Labels of its bottom and top."""
        if self.choices:
            return str(self.choices[0]), str(self.choices[-1])
        return f"{self.low:.3g}", f"{self.high:.3g}"


class Trace(NamedTuple):
    """A trial in a plot: its number, its values by step, and GOOD, BAD or BEST."""

    number: int
    points: Sequence[tuple[float, float]]
    colour: str


def spread(values: Sequence[float]) -> Axis:
    """A scale for values, with a margin."""
    kept = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(kept), max(kept)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return Axis(low - margin, high + margin)


def history(title: str, points: Sequence[Trace], maximize: bool) -> Markup:
    """A dot a trial, its value over its number; a line along the best until then. Pruned trials may stand at the edge."""
    trials = [(trace.number, trace.points[0][1], trace.colour == BAD) for trace in sorted(points)]
    whole = [(number, value) for number, value, pruned in trials if not pruned]
    axis = spread([value for _, value in whole] or [value for _, value, _ in trials])
    last = max((number for number, *_ in trials), default=0)
    figure, (axes,) = new_figure(height=HEIGHT)
    if whole:
        best = [*accumulate((value for _, value in whole), max if maximize else min)]
        axes.step(
            [*(n for n, _ in whole), last],
            [*best, best[-1]],
            where="post",
            color=COLOURS[BEST],
            linewidth=1.5,
        )
    for number, value, pruned in trials:
        colour = COLOURS[BAD if pruned else GOOD]
        axes.plot(
            number, axis.clip(value), "o", markersize=5, color=colour, markerfacecolor="none" if pruned else colour,
            gid=f"title:trial {number}: {value:.4g}",
        )  # fmt: skip
    axes.set(xlim=(-0.5, last + 0.5), ylim=(axis.low, axis.high), xlabel="trial")
    axes.locator_params(nbins=4, axis="y")
    axes.locator_params(nbins=8, axis="x", integer=True)
    return chart(title, [*LEGEND, (BEST, "best so far")], inline_svg(figure, title))


def training(title: str, traces: Sequence[Trace]) -> Markup:
    """What each trial logged while it trained: those that were pruned end early."""
    last = max(step for trace in traces for step, _ in trace.points)
    ends = [trace.points[-1][1] for trace in traces if trace.colour != BAD]
    settled = [value for trace in traces for step, value in trace.points if step >= 0.25 * last]
    axis = spread([*ends, *settled])
    figure, (axes,) = new_figure(height=HEIGHT)
    for trace in sorted(traces, key=lambda t: t.colour == BEST):
        steps, values = zip(*((step, axis.clip(value)) for step, value in trace.points), strict=True)
        axes.plot(
            steps, values, color=COLOURS[trace.colour], linewidth=2.2 if trace.colour == BEST else 1.1, marker="o",
            markersize=4, markevery=[len(steps) - 1], gid=f"title:trial {trace.number}",
        )  # fmt: skip
    axes.set(xlim=(0, last or 1), ylim=(axis.low, axis.high), xlabel="step")
    axes.locator_params(nbins=4)
    return chart(title, [*LEGEND, (BEST, "the best")], inline_svg(figure, title))


def importance(title: str, shares: Mapping[str, float]) -> Markup:
    """A bar a key: its share of what decides the objective."""
    figure, (axes,) = new_figure(height=26 * len(shares) + 14)
    rows = range(len(shares))
    axes.barh(rows, list(shares.values()), height=0.25, color=COLOURS[GOOD])
    for row, (key, share) in enumerate(shares.items()):
        axes.text(0, row - 0.3, key, color=SOFT)
        axes.text(1, row - 0.3, f"{share:.2f}", color=SOFT, ha="right")
    axes.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.8))
    axes.set_axis_off()
    return chart(title, (), inline_svg(figure, title))


def parallel(title: str, axes: Mapping[str, Axis], traces: Sequence[tuple[Sequence[object], str]]) -> Markup:
    """A line a trial across an axis a key and an objective; the best on top.

    Args:
        title: of the plot.
        axes: of every key and objective, by name.
        traces: a trial's value on each axis, and its colour.
    """
    figure, (panel,) = new_figure(width=max(WIDTH, 110 * len(axes)), height=HEIGHT)
    for x, (name, axis) in enumerate(axes.items()):
        low, high = axis.ends()
        panel.plot([x, x], [0, 1], color=LINE, linewidth=1)
        panel.text(x, 1.3 if x % 2 else 1.18, name, color=INK, ha="center")  # alternating, for they are long
        panel.text(x, 1.04, high, color=SOFT, ha="center")
        panel.text(x, -0.12, low, color=SOFT, ha="center")
    for values, colour in sorted(traces, key=lambda t: (t[1] == BEST, t[1] == GOOD)):
        heights = [axis.at(value) for axis, value in zip(axes.values(), values, strict=True)]
        best = colour == BEST
        panel.plot(heights, color=COLOURS[colour], linewidth=2.4 if best else 1.1, alpha=1 if best else 0.7)
    panel.set(xlim=(-0.5, len(axes) - 0.5), ylim=(-0.15, 1.4))
    panel.set_axis_off()
    return chart(title, [*LEGEND, (BEST, "the best")], inline_svg(figure, title), broad=len(axes) > 2)
