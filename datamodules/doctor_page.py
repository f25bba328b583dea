"""The doctor's report as an HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.pages import data_url, fragment
from common.pages import page as whole_page
from common.terminal import printable
from datamodules.examine import Examined

BODY = """<h1>Data doctor</h1><p class="lead {{ 'good' if clean else 'bad' }}">{{ good }} of {{ samples }} samples in
{{ shards }} shards are whole{% if not clean %}; {{ broken }} things are broken{% endif %}.</p>
{% if reasons %}<h2>Why</h2><table><thead><tr><th>reason</th><th>how many</th></tr></thead>
{%- for reason, count in reasons %}<tr><td>{{ reason }}</td><td>{{ count }}</td></tr>{% endfor %}</table>{% endif %}
{% if faults %}<h2>Where</h2><table class="words">
{%- for shard, rows in faults %}<tr><th colspan="2">{{ shard }}</th></tr>
{%- for key, reason in rows %}<tr><td>{{ key }}</td><td>{{ reason }}</td></tr>{% endfor %}
{%- endfor %}</table>{% endif %}
{% if unusual %}<h2>Unusual, but readable</h2><div class="sheet">
{%- for picture, name, why in unusual %}<figure><div>
{%- if picture %}<img alt="" src="{{ picture }}">{% endif %}</div>
<figcaption>{{ name }}<br>{{ why }}</figcaption></figure>
{%- endfor %}</div>{% endif %}"""


def page(found: dict[str, Any], examined: Sequence[Examined]) -> str:
    """One HTML page that needs no other files; `found` is the doctor's summary."""
    counts = {name: f"{found[name]:,}" for name in ("good", "samples", "shards", "broken")}
    faults = [
        (printable(one.shard), [(printable(fault.key), printable(fault.reason)) for fault in one.faults])
        for one in examined
        if one.faults
    ]
    unusual = [
        (
            "" if sample.thumbnail is None else data_url(sample.thumbnail, "jpeg"),
            printable(f"{Path(sample.shard).name} {sample.key}"),
            printable(sample.why),
        )
        for one in examined
        for sample in one.unusual
    ]
    reasons = [(printable(reason), count) for reason, count in found["reasons"].items()]
    clean = found["broken"] == 0
    body = fragment(BODY, clean=clean, reasons=reasons, faults=faults, unusual=unusual, **counts)
    return whole_page("Data doctor", [body])
