"""SVG of plots: the same bytes for the same figure, gaps where values are no numbers, nothing that loads or runs."""

import re
from math import inf, nan
from xml.etree import ElementTree

from evals.reports.plot import COLOURS, Line, draw_lines, inline_svg, new_figure, svg_text
from tests.evals.page import Page

POINTS = [(0.0, 5.0), (10.0, nan), (20.0, 2.0), (30.0, inf), (40.0, 1.0)]


def drawn(*lines: Line):
    figure, (axes,) = new_figure()
    draw_lines(axes, lines or [Line(POINTS, "a")], "step")
    return figure, axes


def test_equal_figures_are_equal_files() -> None:
    assert svg_text(drawn()[0]) == svg_text(drawn()[0])
    assert ElementTree.fromstring(svg_text(drawn()[0])).tag.endswith("svg")


def test_curves_begin_at_zero_and_may_leave_the_panel_only_while_they_warm_up() -> None:
    _, axes = drawn(Line([(0.0, 1000.0), *((float(x), 2.0) for x in range(50, 1000, 50))], "b"))
    assert axes.get_ylim() == (0.0, 2.1) and axes.lines[0].get_ydata()[0] == 2.1
    _, axes = drawn()
    assert [str(y) for y in axes.lines[0].get_ydata()] == ["2.1", "nan", "2.0", "nan", "1.0"]


def test_an_inline_figure_is_markup_of_the_page_alone() -> None:
    figure, axes = drawn()
    axes.plot([0], [1], "o", color=COLOURS["b"], gid="title:<b> & trial 3: $x$")
    svg = inline_svg(figure, "a <b> label")
    page = Page(f"<p>{svg}</p>")
    assert svg.startswith('<svg viewBox="0 0 320 150" role="img" aria-label="a &lt;b&gt; label">')
    assert "<b> & trial 3: $x$" in page.text and 'class="curve"' in svg
    assert "var(--a)" in svg and "var(--b)" in svg and COLOURS["a"] not in svg
    assert not re.search(r"https?://|<script|<style|url\(|<metadata|<!DOCTYPE", svg)


def test_all_values_may_be_no_numbers() -> None:
    _, axes = drawn(Line([(0.0, nan), (1.0, inf)], "a"), Line([(0.0, 0.0)], "b", bold=False))
    assert axes.get_ylim() == (0.0, 1.0)
