"""Checks every sample of shard sets before a run does: `python -m datamodules.doctor SHARDS...`.

Writes index.json beside the shards (counts, sizes, checksums), and says what is broken, where and why, as lines,
as JSON and as a page. Nothing in the shards is changed. Exit code 1 where something is broken.
"""

import argparse
import base64
import hashlib
import html
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from common.files import write_text
from common.images import image_info
from common.paths import path_or_name, user_path
from datamodules.decode import decode_image, image_endings, sample_json, sample_text
from datamodules.places import Unreachable, declared, find_shards, is_remote, local
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard
from datamodules.templates import document

LOOK = 96  # pixels that images are decoded to for the check, and that odd ones are shown at
ODD_RATIO = 3.0  # of the sides
ODD_SIDE = 32  # pixels
OURS = ("datamodules.doctor", "datamodules.convert")  # whose index.json ours may replace: it has more in it


@dataclass
class Fault:
    """One broken thing."""

    shard: str
    key: str
    reason: str


@dataclass
class Odd:
    """A sample that can be read and yet is unlike the others; `thumbnail` is a small JPEG where one was asked for."""

    shard: str
    key: str
    why: str
    thumbnail: bytes | None = None


@dataclass
class Examined:
    """What one shard holds."""

    shard: str
    samples: int = 0
    good: int = 0
    bytes: int = 0
    sha256: str = ""
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)


def examine(shard: str, thumbnails: bool = False) -> Examined:
    """Reads all of a shard, decodes every image and every text."""
    found = Examined(shard)
    try:
        with local(shard) as path:
            found.bytes, found.sha256 = os.path.getsize(path), _sha256(path)
            opened = Shard(path)
    except (BrokenShard, Unreachable, OSError) as error:
        found.faults.append(Fault(shard, "", str(error)))
        return found
    found.samples = len(opened)
    bare: list[str] = []  # keys of samples that are words alone
    for number, entry in enumerate(opened.entries):
        try:
            sample = opened.read(number)
            check(sample)
        except (BrokenSample, ValueError) as error:
            if not opened.may_be_a_part(number):
                found.faults.append(Fault(shard, entry.key, str(error)))
            continue
        found.good += 1
        found.endings.update(name for name in sample if not name.startswith("__"))
        found.odd += [Odd(shard, entry.key, why, picture) for why, picture in _odd(sample, thumbnails)]
        if not image_endings(sample):
            bare.append(entry.key)
    if len(bare) < found.good / 2:  # in a set of images, not of text
        found.odd += [Odd(shard, key, "no image, where most samples have one") for key in bare]
    if opened.cut is not None:
        found.faults.append(Fault(shard, "", opened.cut))
    promised = declared(shard)
    if promised is not None and opened.cut is None and promised > len(opened):
        lost = f"the shard holds fewer samples than its index.json says: {len(opened)} of {promised}"
        found.faults.append(Fault(shard, "", lost))
    opened.close()
    return found


def check(sample: Sample) -> None:
    """Whether a sample is whole: a document, a conversation's json, or a pair of image and words, or words alone.

    Raises:
        ValueError: it is not, and why.
    """
    if "json" in sample:
        said = sample_json(sample)
        if isinstance(said, dict) and "parts" in said:
            document(sample, LOOK, Random(0), 0.0)
            return
    images = image_endings(sample)
    for ending in images:
        decode_image(sample[ending], LOOK)
    texts = [ending for ending in sample if ending.rsplit(".", 1)[-1] == "txt"]
    for ending in texts:
        sample_text(sample, ending)
    if not texts and "json" not in sample:
        raise ValueError(
            "a sample has no words: neither txt nor json"
            if images
            else "a sample has neither image nor words"
        )


def _odd(sample: Sample, thumbnails: bool) -> Iterator[tuple[str, bytes | None]]:
    for ending in image_endings(sample):
        image = image_info(sample[ending])
        why = []
        sides = image.width, image.height
        if min(sides) < ODD_SIDE:
            why.append(f"only {image.width} x {image.height} pixels")
        if max(sides) > ODD_RATIO * min(sides):
            why.append(f"{image.width} x {image.height}, a narrow strip")
        if image.mode not in ("RGB", "L"):
            why.append(f"mode {image.mode}")
        if image.frames > 1:
            why.append(f"{image.frames} frames, of which the first is used")
        if image.turned:
            why.append("rotated by its EXIF")
        if why:
            yield ", ".join(why), _thumbnail(sample[ending]) if thumbnails else None


def _thumbnail(content: bytes) -> bytes:
    pixels = decode_image(content, LOOK).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=80)
    return buffer.getvalue()


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_indices(examined: Iterable[Examined]) -> list[Path]:
    """Writes an index.json into every folder of local shards where no other tool's stands; returns those written."""
    folders: dict[Path, dict[str, Any]] = {}
    for one in examined:
        if not is_remote(one.shard) and one.sha256:
            entry = {"samples": one.samples, "good": one.good, "bytes": one.bytes, "sha256": one.sha256}
            folders.setdefault(Path(one.shard).parent, {})[Path(one.shard).name] = entry
    written = []
    for folder, shards in folders.items():
        path = folder / "index.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if known and known.get("by") not in OURS:
            continue
        index = {
            "by": "datamodules.doctor",
            "samples": sum(e["samples"] for e in shards.values()),
            "shards": shards,
        }
        write_text(path, json.dumps(index, indent=1) + "\n")
        written.append(path)
    return written


def summary(examined: list[Examined]) -> dict[str, Any]:
    """All that was found, as JSON."""
    reasons = Counter(fault.reason.partition(":")[0] for one in examined for fault in one.faults)
    return {
        "shards": len(examined),
        "samples": sum(one.samples for one in examined),
        "good": sum(one.good for one in examined),
        "bytes": sum(one.bytes for one in examined),
        "broken": sum(len(one.faults) for one in examined),
        "reasons": dict(reasons.most_common()),
        "faults": [asdict(fault) for one in examined for fault in one.faults],
        "odd": [{"shard": o.shard, "key": o.key, "why": o.why} for one in examined for o in one.odd],
        "endings": dict(sum((one.endings for one in examined), Counter()).most_common()),
    }


def page(found: dict[str, Any], examined: list[Examined]) -> str:
    """The same as one HTML page that needs nothing beside it."""
    cell = html.escape
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


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.doctor", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("shards", type=path_or_name, nargs="+", help="folders, brace patterns or URLs of shards")
    parser.add_argument("--report", type=user_path, help="folder that takes doctor.json and doctor.html")
    parser.add_argument("--thumbnails", action="store_true", help="pictures of odd samples on the page")
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), help="default: %(default)s"
    )
    parser.add_argument("--no-index", action="store_true", help="writes no index.json beside the shards")
    options = parser.parse_args(arguments)
    try:
        shards = find_shards(options.shards)
        if options.workers < 1:
            raise ValueError(f"--workers {options.workers}: must be at least 1")
        examined = _examine_all(shards, options.thumbnails, options.workers)
        found = summary(examined)
        if not options.no_index:
            write_indices(examined)
        if options.report:
            options.report.mkdir(parents=True, exist_ok=True)
            write_text(options.report / "doctor.json", json.dumps(found, indent=1) + "\n")
            write_text(options.report / "doctor.html", page(found, examined))
    except (ValueError, OSError) as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 2
    for fault in found["faults"]:
        print(f"{fault['shard']} {fault['key']}: {fault['reason']}".replace(" : ", ": "))
    print(f"doctor: {found['good']} of {found['samples']} samples in {found['shards']} shards are whole")
    return 1 if found["broken"] else 0


def _examine_all(shards: list[str], thumbnails: bool, workers: int) -> list[Examined]:
    examined = []
    with get_context("spawn").Pool(min(workers, len(shards))) as pool:
        for one in pool.imap(partial(examine, thumbnails=thumbnails), shards):
            examined.append(one)
            print(f"\rdoctor: {len(examined)} of {len(shards)} shards", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return examined


if __name__ == "__main__":
    sys.exit(main())
