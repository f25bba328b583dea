"""Markdown tables whose cells may hold anything."""

import re
from collections.abc import Sequence

from common.terminal import printable

# a backslash, the end of a cell, and what would be HTML or a link
SPECIAL = re.compile(r"[\\|]|\]\(")


def escape_markdown(text: str) -> str:
    """Escapes a text: one line, without control characters, HTML, links, or the end of a table's cell."""
    return SPECIAL.sub(lambda found: f"\\{found[0]}", printable(text)).replace("<", "&lt;")


def markdown_table(rows: Sequence[Sequence[str]], align: str = "---:") -> str:
    """A table of a heading and rows of names and figures; `align` is of all columns but the first."""
    head, *body = [[escape_markdown(cell) for cell in row] for row in rows]
    lines = [head, ["---", *[align] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
