"""Markdown tables whose cells may hold anything."""

import re
from collections.abc import Sequence

from common.terminal import printable

# a backslash, the end of a cell, and what would be HTML or a link
SPECIAL = re.compile(r"[\\|]|\]\(")


def escaped(text: str) -> str:
    """A text as it is meant: on one line, without control characters, HTML, links, or the end of a table's cell."""
    return SPECIAL.sub(lambda found: f"\\{found[0]}", printable(text)).replace("<", "&lt;")


def ruled(lines: Sequence[Sequence[str]]) -> str:
    """A heading and rows of names and figures as a table, the figures to the right."""
    rows = [[escaped(cell) for cell in line] for line in lines]
    return (
        "\n".join(
            "| " + " | ".join(row) + " |"
            for row in (rows[0], ["---", *("---:" for _ in rows[0][1:])], *rows[1:])
        )
        + "\n"
    )
