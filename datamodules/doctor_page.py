"""What the doctor found, as one HTML page that needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.pages import data_url, fragment
from common.pages import page as whole_page
from common.terminal import printable
from datamodules.examine import Examined, Odd


def page(found: dict[str, Any], examined: Sequence[Examined]) -> str:
    """The same as one HTML page that needs nothing beside it."""
    faults = [
        (printable(one.shard), [(printable(f.key), printable(f.reason)) for f in one.faults])
        for one in examined
        if one.faults
    ]
    body = [
        fragment(
            """<h1>Data doctor</h1><p class="lead {{ 'good' if clean else 'bad' }}">{{ good }} of {{ samples }} samples in
{{ shards }} shards are whole{% if not clean %}; {{ broken }} things are broken{% endif %}.</p>""",
            clean=found["broken"] == 0,
            **{name: f"{found[name]:,}" for name in ("good", "samples", "shards", "broken")},
        ),
        fragment(
            """{% if reasons %}<h2>Why</h2><table><thead><tr><th>reason</th><th>how many</th></tr></thead>
{%- for reason, count in reasons %}<tr><td>{{ reason }}</td><td>{{ count }}</td></tr>{% endfor %}</table>{% endif %}""",
            reasons=[(printable(reason), count) for reason, count in found["reasons"].items()],
        ),
        fragment(
            """{% if faults %}<h2>Where</h2><table class="words">
{%- for shard, rows in faults %}<tr><th colspan="2">{{ shard }}</th></tr>
{%- for key, reason in rows %}<tr><td>{{ key }}</td><td>{{ reason }}</td></tr>{% endfor %}
{%- endfor %}</table>{% endif %}""",
            faults=faults,
        ),
        _odd([odd for one in examined for odd in one.odd]),
    ]
    return whole_page("Data doctor", body)


def _odd(found: Sequence[Odd]) -> Markup:
    return fragment(
        """{% if found %}<h2>Odd, but readable</h2><div class="sheet">
{%- for picture, name, why in found %}<figure><div>
{%- if picture %}<img alt="" src="{{ picture }}">{% endif %}</div>
<figcaption>{{ name }}<br>{{ why }}</figcaption></figure>
{%- endfor %}</div>{% endif %}""",
        found=[
            (
                "" if odd.thumbnail is None else data_url(odd.thumbnail, "jpeg"),
                printable(f"{Path(odd.shard).name} {odd.key}"),
                printable(odd.why),
            )
            for odd in found
        ],
    )
