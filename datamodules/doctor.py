"""Checks every sample of shard sets before a run does: `python -m datamodules.doctor SHARDS...`.

Reports what is broken, where and why, as lines, as JSON and as a page, and writes index.json beside the shards (counts,
sizes, checksums). With --template it reports what training with that template would skip. Nothing in the shards changes.
Exit code 1 where something is broken; 2 where shards could not be examined, or the report not be written.
"""

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.files import write_text
from common.json_files import read_json
from common.paths import path_or_name, user_path
from common.process_pool import ProcessKilled, map_processes
from common.terminal import printable
from common.urls import masked_urls
from datamodules.doctor_page import page
from datamodules.examine import Examined, examine
from datamodules.remote import is_remote
from datamodules.shard_paths import find_shards, held_out
from datamodules.templates import TEMPLATES

OURS = (
    "datamodules.doctor",
    "datamodules.convert",
)  # whose index.json is replaced: the new one has more in it


def write_indices(examined: Sequence[Examined]) -> Iterator[str]:
    """Writes an index.json into every folder of local shards that has no other tool's; yields a line where it did not."""
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
    """Writes doctor.json and doctor.html; raises OSError if they cannot be written."""
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
        "unusual": [{"shard": u.shard, "key": u.key, "why": u.why} for one in examined for u in one.unusual],
        "remarks": [f"{one.shard}: {remark}" for one in examined for remark in one.remarks],
        "endings": dict(sum((one.endings for one in examined), Counter()).most_common()),
    }


@user_errors("doctor")
def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(
        prog="python -m datamodules.doctor", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    workers = min(8, os.cpu_count() or 1)
    add("shards", type=path_or_name, nargs="+", help="folders, brace patterns or URLs of shards")
    add("--report", type=user_path, help="folder that takes doctor.json and doctor.html")
    add("--thumbnails", action="store_true", help="pictures of unusual samples on the page")
    add("--workers", type=int, default=workers, help="default: %(default)s")
    add("--no-index", action="store_true", help="writes no index.json beside the shards")
    add("--template", choices=tuple(TEMPLATES), help="reports what training with it would skip")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal without a letter shows its number
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    shards, left_out = find_shards(options.shards), held_out(options.shards)
    if options.workers < 1:
        raise ValueError(f"--workers {options.workers}: must be at least 1")
    if options.report:  # before time is spent
        options.report.mkdir(parents=True, exist_ok=True)
    examined: list[Examined] = []
    failed = ""
    look = partial(examine, thumbnails=options.thumbnails, template=options.template)
    try:
        for one in map_processes(look, shards, options.workers, "shards examined"):
            examined.append(one)
    except ProcessKilled:
        shard = printable(masked_urls(shards[len(examined)]))
        failed = f"a process was killed, perhaps for its memory, at {shard} or one after it: give --workers 1"
    found = summary(examined)
    _print(found, left_out, options.template)
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


def _print(found: dict[str, Any], left_out: Sequence[str], template: str | None) -> None:
    """Prints what was found."""
    for fault in found["faults"]:
        where = f"{fault['shard']} {fault['key']}".strip()
        print(printable(f"{where}: {fault['reason']}"))
    for remark in found["remarks"]:
        print(f"doctor: {printable(remark)}")
    for folder in left_out:
        print(f"doctor: {printable(folder)} is held out by its name, and was not looked at: name it itself")
    if template is not None and found["reasons"]:
        reasons = ", ".join(f"{count} of them as {reason}" for reason, count in found["reasons"].items())
        print(printable(f"doctor: training with {template} would skip {found['broken']}: {reasons}"))
    print(f"doctor: {found['good']} of {found['samples']} samples in {found['shards']} shards are whole")


if __name__ == "__main__":
    sys.exit(main())
