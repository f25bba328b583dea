"""What the doctor found, as one HTML page that needs nothing beside it."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.terminal import printable
from datamodules.examine import Examined, Odd


def page(found: dict[str, Any], examined: Sequence[Examined]) -> str:
    """The same as one HTML page that needs nothing beside it."""

    def cell(text: str) -> str:
        return html.escape(printable(text))

    reasons = "".join(f"<tr><td>{cell(reason)}<td>{count}" for reason, count in found["reasons"].items())
    faults = "".join(
        f"<tr><th colspan=2>{cell(one.shard)}"
        + "".join(f"<tr><td>{cell(f.key)}<td>{cell(f.reason)}" for f in one.faults)
        for one in examined
        if one.faults
    )
    odd = "".join(
        f"<figure>{_picture(o)}<figcaption>{cell(Path(o.shard).name)} {cell(o.key)}<br>{cell(o.why)}</figure>"
        for one in examined
        for o in one.odd
    )
    clean = found["broken"] == 0
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Data doctor</title>
<meta name="viewport" content="width=device-width"><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse;width:100%}}td,th{{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;
overflow-wrap:anywhere;vertical-align:top}}.where td:first-child{{width:9rem}}
.sum{{font-size:1.3rem}}.good{{color:#176b2c}}.bad{{color:#a11}}
.odd{{display:flex;flex-wrap:wrap;gap:1rem}}figure{{margin:0;width:10rem;font-size:.85rem;overflow-wrap:anywhere}}
@media(prefers-color-scheme:dark){{body{{background:#181818;color:#ddd}}td,th{{border-color:#444}}
.good{{color:#6c8}}.bad{{color:#f77}}}}</style>
<h1>Data doctor</h1><p class="sum {"good" if clean else "bad"}">{found["good"]:,} of {found["samples"]:,} samples in
{found["shards"]:,} shards are whole{"" if clean else f"; {found['broken']:,} things are broken"}.</p>
{f"<h2>Why</h2><table><tr><th>reason<th>how many{reasons}</table>" if reasons else ""}
{f"<h2>Where</h2><table class=where>{faults}</table>" if faults else ""}
{f'<h2>Odd, but readable</h2><div class="odd">{odd}</div>' if odd else ""}
</html>
"""


def _picture(odd: Odd) -> str:
    if odd.thumbnail is None:
        return ""
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(odd.thumbnail).decode()}">'
