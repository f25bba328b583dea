"""Checks every sample of shard sets before a run does: `python -m datamodules.doctor SHARDS...`.

Says what is broken, where and why, as lines, as JSON and as a page, and writes index.json beside the shards (counts,
sizes, checksums). With --template it says what training with that template would skip. Nothing in the shards is changed.
Exit code 1 where something is broken; 2 where it could not look, or not write the report that was asked for.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common.errors import user_errors
from common.files import write_text
from common.json_files import read_json
from common.paths import path_or_name, user_path
from common.terminal import printable
from common.urls import masked_urls
from datamodules.doctor_page import page
from datamodules.examine import Examined, examine
from datamodules.shard_paths import find_shards, held_out, is_remote
from datamodules.templates import TEMPLATES

OURS = ("datamodules.doctor", "datamodules.convert")  # whose index.json ours may replace: it has more in it


def write_indices(examined: Sequence[Examined]) -> Iterator[str]:
    """Writes an index.json into every folder of local shards where no other tool's stands; says where it did not."""
    folders: dict[Path, dict[str, Any]] = {}
    for one in examined:
        if not is_remote(one.shard) and one.sha256:
            entry = {"samples": one.samples, "good": one.good, "bytes": one.bytes, "sha256": one.sha256}
            folders.setdefault(Path(one.shard).parent, {})[Path(one.shard).name] = entry
    for folder, shards in folders.items():
        path = folder / "index.json"
        try:
            known = read_json(path) if path.exists() else None
            if known is not None and (not isinstance(known, dict) or known.get("by") not in OURS):
                yield f"{path} is another tool's, and stays as it is"
                continue
            index = {
                "by": "datamodules.doctor",
                "samples": sum(e["samples"] for e in shards.values()),
                "shards": shards,
            }
            write_text(path, json.dumps(index, indent=1) + "\n")
        except (ValueError, OSError) as error:
            yield f"{path} was not written: {_why(error)}"


def write_report(folder: Path, found: dict[str, Any], examined: Sequence[Examined]) -> None:
    """Writes doctor.json and doctor.html.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "doctor.json", json.dumps(found, indent=1) + "\n")
    write_text(folder / "doctor.html", page(found, examined))


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


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
        "remarks": [f"{one.shard}: {remark}" for one in examined for remark in one.remarks],
        "endings": dict(sum((one.endings for one in examined), Counter()).most_common()),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.doctor", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument(
        "shards", type=path_or_name, nargs="+", help="folders, brace patterns or URLs of shards"
    )
    parser.add_argument("--report", type=user_path, help="folder that takes doctor.json and doctor.html")
    parser.add_argument("--thumbnails", action="store_true", help="pictures of odd samples on the page")
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), help="default: %(default)s"
    )
    parser.add_argument("--no-index", action="store_true", help="writes no index.json beside the shards")
    parser.add_argument("--template", help="says what training with it would skip: " + ", ".join(TEMPLATES))
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal without a letter shows its number
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    try:
        shards = find_shards(options.shards)
        if options.workers < 1:
            raise ValueError(f"--workers {options.workers}: must be at least 1")
        if options.template is not None and options.template not in TEMPLATES:
            raise ValueError(f"--template {options.template}: there is {', '.join(TEMPLATES)}")
        if options.report:  # before time is spent
            options.report.mkdir(parents=True, exist_ok=True)
        left = held_out(options.shards)
    except (ValueError, OSError) as error:
        print(f"doctor: {printable(str(error))}", file=sys.stderr)
        return 2
    examined: list[Examined] = []
    failed = _examine_all(shards, options.thumbnails, options.template, options.workers, examined)
    found = summary(examined)
    _tell(found, left, options.template)
    if not options.no_index:
        for line in write_indices(examined):
            print(f"doctor: {printable(line)}", file=sys.stderr)
    try:
        if options.report:
            write_report(options.report, found, examined)
    except OSError as error:
        failed = f"{failed}{failed and '; '}the report was not written: {printable(str(error))}"
    if failed:
        print(f"doctor: {failed}", file=sys.stderr)
    return 1 if found["broken"] else 2 if failed else 0


def _tell(found: dict[str, Any], left: Sequence[str], template: str | None) -> None:
    """Prints what was found."""
    for fault in found["faults"]:
        where = f"{fault['shard']} {fault['key']}".strip()
        print(printable(f"{where}: {fault['reason']}"))
    for remark in found["remarks"]:
        print(f"doctor: {printable(remark)}")
    for folder in left:
        print(f"doctor: {printable(folder)} is held out by its name, and was not looked at: name it itself")
    if template is not None and found["reasons"]:
        reasons = ", ".join(f"{count} of them as {reason}" for reason, count in found["reasons"].items())
        print(printable(f"doctor: training with {template} would skip {found['broken']}: {reasons}"))
    print(f"doctor: {found['good']} of {found['samples']} samples in {found['shards']} shards are whole")


def _examine_all(
    shards: list[str], thumbnails: bool, template: str | None, workers: int, examined: list[Examined]
) -> str:
    """Adds to `examined` shard by shard; returns what went wrong before the last, or nothing."""
    look = partial(examine, thumbnails=thumbnails, template=template)
    many = min(workers, len(shards))
    try:
        with ProcessPoolExecutor(many, get_context("spawn")) if many > 1 else nullcontext() as pool:
            for one in pool.map(look, shards) if pool else map(look, shards):
                examined.append(one)
                print(
                    f"\rdoctor: {len(examined)} of {len(shards)} shards", end="", file=sys.stderr, flush=True
                )
    except BrokenProcessPool:
        shard = printable(masked_urls(shards[len(examined)]))
        return f"a process was killed, perhaps for its memory, at {shard} or one after it: give --workers 1"
    finally:
        print(file=sys.stderr)
    return ""


if __name__ == "__main__":
    with user_errors("doctor"):
        sys.exit(main())
