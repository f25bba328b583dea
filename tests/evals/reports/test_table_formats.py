"""Cells of a table are text in every format, never markup or commands."""

import pytest

from evals.reports.table_formats import Table, html, latex, markdown


def test_special_letters_are_escaped() -> None:
    one = Table(["a_b"], [["50 % & <x> | y"]], [])
    assert r"50 \% \& <x>" in latex(one) and "&lt;x&gt;" in html(one) and r"\| y" in markdown(one)


HOSTILE = "\\input{/etc/passwd} ^^5cinput /etc/passwd ~ $x$ [1cm] | <script>a</script>\n\n# forged \x1b[2J"


@pytest.mark.parametrize("cell", [HOSTILE, f"[1cm]{HOSTILE}", f"*[1cm]{HOSTILE}"])
def test_names_and_notes_are_no_commands(cell: str) -> None:
    one = Table([cell], [[cell]], [cell])
    written = latex(one)
    assert r"\input" not in written and "^" not in written.replace(r"\textasciicircum{}", "")
    assert "\\\\\n[" not in written and "\\\\\n*" not in written and "\x1b" not in written
    assert len(written.splitlines()) == 8 and written.count(r"\textbackslash{}") == 12
    marked = markdown(one)
    assert "<script" not in marked and "\x1b" not in marked and len(marked.splitlines()) == 5
    assert all(line.replace(r"\|", "").count("|") == 2 for line in marked.splitlines()[:3])
