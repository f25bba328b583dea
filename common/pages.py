"""HTML pages by Jinja2: whatever is put into one is escaped, and nothing in one can run or be loaded from elsewhere."""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from common.files import write_text

STYLE = Path(__file__).with_name("page.css")
# No script, no frame, no request: pictures stand in the page itself.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
{{ style }}</style></head>
<body>
{% for part in body if part %}{{ part }}
{% endfor %}</body></html>
"""
ENVIRONMENT = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _template(source: str) -> Template:
    return ENVIRONMENT.from_string(source)


def fragment(source: str, **values: Any) -> Markup:
    """A piece of a page from a Jinja2 template; values are escaped, unless they are such pieces themselves."""
    return Markup(_template(source).render(values))


def render(template: Path, **values: Any) -> Markup:
    """As `fragment`, from a template in a file."""
    return fragment(template.read_text(encoding="utf-8"), **values)


def join(fragments: Sequence[str], between: str = "") -> Markup:
    """Pieces one after the other; a plain text among them is escaped."""
    return Markup(between).join(fragments)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], style: str = "wide") -> Markup:
    """A table that scrolls by itself where a screen is narrower; cells that are plain text are escaped."""
    return fragment(
        """<div class="{{ style }}"><table><thead><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr></thead>
{%- for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table></div>""",
        style=style,
        head=head,
        rows=rows,
    )


def section(title: str, hint: str = "", content: Markup | None = None) -> Markup:
    """A heading, a line on what follows, and what follows."""
    return fragment(
        '<h2>{{ title }}</h2>{% if hint %}<p class="hint">{{ hint }}</p>{% endif %}{{ content }}',
        title=title,
        hint=hint,
        content=content or Markup(),
    )


def page(title: str, body: Sequence[str]) -> str:
    """A page that needs nothing beside it; a plain text in its body is escaped."""
    style = Markup(STYLE.read_text(encoding="utf-8"))
    return str(fragment(PAGE, title=title, policy=Markup(POLICY), style=style, body=body)) + "\n"


def write_page(path: Path, title: str, body: Sequence[str]) -> Path:
    """Writes a page that needs nothing beside it, whole or not at all; returns its path."""
    write_text(path, page(title, body))
    return path


def data_url(content: bytes, kind: str = "png") -> str:
    """A picture as it stands within a page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
