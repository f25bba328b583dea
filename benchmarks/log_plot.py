"""Curves on logarithmic axes as SVG, several panels side by side under one scale."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 240, 220  # of a panel's drawing
LEFT, TOP, BETWEEN, BOTTOM = 56, 26, 26, 44  # margins
STYLES = {  # of a curve, by its name
    "measured": Markup('stroke="#1f5fa8" stroke-width="2"'),
    "allowed": Markup('stroke="#8a8a8a" stroke-width="1.5" stroke-dasharray="5 4"'),
}


class Series(NamedTuple):
    """A curve: its name, one of STYLES, and its points, all above 0."""

    name: str
    points: Sequence[tuple[float, float]]


def panels(by_label: Mapping[str, Sequence[Series]], label: str) -> str:
    """One panel for each label of the axis across; `label` is what goes upwards in all of them."""
    every = [y for curves in by_label.values() for curve in curves for _, y in curve.points]
    low, high = floor(log10(min(every))), ceil(log10(max(every)) + 1e-9)
    wide = LEFT + len(by_label) * (WIDTH + BETWEEN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {TOP + HEIGHT + BOTTOM}" '
        f'width="{wide}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{wide}" height="{TOP + HEIGHT + BOTTOM}" fill="white"/>',
        Markup('<text x="{}" y="14">{}</text>').format(LEFT, label),
    ]
    for number, (across, curves) in enumerate(by_label.items()):
        parts += _panel(LEFT + number * (WIDTH + BETWEEN), across, curves, low, high, number == 0)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    left: float, across: str, curves: Sequence[Series], low: int, high: int, numbered: bool
) -> list[str]:
    xs = [x for curve in curves for x, _ in curve.points]
    least, most = log10(min(xs)), log10(max(xs))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (log10(x) - least) / (most - least or 1)
        return left + 8 + right * (WIDTH - 16), TOP + HEIGHT * (1 - (log10(y) - low) / (high - low))

    parts = []
    for power in range(low, high + 1):
        _, y = place(min(xs), 10.0**power)
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        if numbered:
            parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for x in sorted(set(xs)):
        at, _ = place(x, 10.0**low)
        parts.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{_short(x)}</text>')
    middle = left + WIDTH / 2
    words = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
        middle, TOP + HEIGHT + 34, across
    )
    parts.append(words)
    for curve in curves:
        parts += _curve(curve, [place(x, y) for x, y in curve.points])
    return parts


def _curve(curve: Series, places: Sequence[tuple[float, float]]) -> list[str]:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[0]
    above = y - 8 if curve.name == "measured" else y + 16
    return [
        f'<polyline points="{line}" fill="none" {STYLES[curve.name]}/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#1f5fa8"/>' for x, y in places if above < y),
        Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(x, above, curve.name),
    ]


def _short(x: float) -> str:
    """7000000 as "7M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if x >= 10 * size or x >= size and unit != "k":
            return f"{x / size:.3g}{unit}"
    return f"{x:g}"
