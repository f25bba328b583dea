"""A table as Markdown, as an HTML page and as LaTeX; whatever stands in its cells is text."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from common.markdown import escape_markdown, markdown_table
from common.pages import fragment, page
from common.pages import table as page_table
from common.terminal import printable


@dataclass
class Table:
    """Headings, cells as text, and the footnotes in order."""

    headings: list[str]
    cells: list[list[str]]
    notes: list[str]


def markdown(table: Table) -> str:
    """As Markdown."""
    notes = "\n".join(f"[{i}] {escape_markdown(note)}." for i, note in enumerate(table.notes, 1))
    return f"{markdown_table([table.headings, *table.cells])}\n{notes}\n"


def html(table: Table) -> str:
    """As an HTML page that needs nothing beside it."""
    title = "Beside published figures"
    body = fragment(
        """<h1>{{ title }}</h1>
{{ grid }}
<ol>{% for note in notes %}<li>{{ note }}.</li>{% endfor %}</ol>""",
        title=title,
        grid=page_table(table.headings, table.cells, "wide numbers"),
        notes=table.notes,
    )
    return page(title, [body])


def latex(table: Table) -> str:
    """As LaTeX, with booktabs."""
    lines = [
        " & ".join(_escape_tex(cell) for cell in line) + r" \\" for line in (table.headings, *table.cells)
    ]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "\n".join(
        rf"\par\footnotesize [{i}] {_escape_tex(note)}." for i, note in enumerate(table.notes, 1)
    )
    columns = "l" + "r" * (len(table.headings) - 1)
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n{notes}\n"


def _escape_tex(text: str) -> str:
    """Text without commands: no character of it is one, not even ^^5c, and no bracket the argument of a row's end."""
    escaped_text = re.sub(r"[\\^~&%$#_{}]", lambda found: TEX.get(found[0], f"\\{found[0]}"), printable(text))
    return f"{{}}{escaped_text}" if escaped_text.startswith(("[", "*")) else escaped_text


TEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
FORMATS: dict[str, Callable[[Table], str]] = {"markdown": markdown, "html": html, "latex": latex}
