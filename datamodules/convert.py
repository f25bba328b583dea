"""Makes shards of what others publish: `python -m datamodules.convert FORMAT SOURCE --out DIR`.

| FORMAT      | SOURCE                                                                          | template      |
|-------------|---------------------------------------------------------------------------------|---------------|
| folder      | images, each with a .txt or .caption of its name; or a file that lists captions | describe, ... |
|             | (captions.* or metadata.* of JSON, lines of JSON, CSV, TSV, parquet; COCO's),   |               |
|             | in the folder or as SOURCE with --images                                        |               |
| img2dataset | what img2dataset wrote in its webdataset format                                 | describe, ... |
| parquet     | a parquet or arrow file, a folder of them, what save_to_disk wrote: pairs,      | by columns    |
|             | dialogues or edits                                                              |               |
| llava       | dialogues in JSON or lines of JSON: LLaVA's, ShareGPT's, OpenAI's; --images is  | conversation  |
|             | where their images are                                                          |               |
| edits       | InstructPix2Pix's or MagicBrush's folders, a list or a table of edits           | edit          |

Every row becomes a sample, or is counted by its reason in summary.json and at the end. Of several captions of an image,
each is a sample. Of a folder with splits, train is taken. Restartable: a shard bears its name only when it is whole, and
one that is there is not made again. docs/use/data.md tells what is read and what is refused.
"""

import argparse
import json
import os
import signal
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from rich.progress import Progress

from common.errors import Parser, user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.json_files import read_object
from common.paths import user_path
from common.terminal import printable
from datamodules.conversion_plan import note_plan
from datamodules.published_formats import FORMATS, Chunk, Made, Options, Refused
from datamodules.shard import add_member

EXAMPLES = 3  # of each reason


@dataclass(frozen=True)
class Task:
    """One shard to write."""

    format: str
    options: Options
    chunk: Chunk
    path: Path
    number: int


@dataclass
class Tally:
    """Samples, and what became none: how often by reason, and the first of each."""

    samples: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, refused: Refused) -> None:
        """Counts one thing that was left out."""
        detail = refused.reason.partition(":")[2]
        self.add({refused.kind: 1}, {refused.kind: [refused.what + (f":{detail}" if detail else "")]})

    def add(self, skipped: dict[str, int], examples: dict[str, list[str]]) -> None:
        """Counts what another tally has."""
        self.skipped.update(skipped)
        for reason, found in examples.items():
            known = self.examples.setdefault(reason, [])
            known += found[: EXAMPLES - len(known)]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the most frequent reason first."""
        skipped = dict(self.skipped.most_common())
        return {
            "samples": self.samples,
            "skipped": skipped,
            "examples": {r: self.examples[r] for r in skipped},
        }


def write(task: Task) -> None:
    """Writes one shard, and before it gets its name a note of what was skipped; of no samples, the note alone."""
    done = Tally()
    found = FORMATS[task.format].samples(task.options, task.chunk)
    first = next((made for made in found if not _is_refused(made, done)), None)
    if first is None:
        _write_note(task.path, done)
        return
    with atomic(task.path) as scratch:
        with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar:
            for made in chain([first], (made for made in found if not _is_refused(made, done))):
                for ending, content in made.members.items():
                    add_member(tar, f"{task.number:06d}{done.samples:06d}.{ending}", content)
                done.samples += 1
        _write_note(task.path, done)


def _is_refused(made: Made | Refused, done: Tally) -> bool:
    if isinstance(made, Refused):
        done.refuse(made)
    return isinstance(made, Refused)


def _write_note(shard: Path, done: Tally) -> None:
    write_text(shard.with_suffix(".json"), json.dumps(done.to_dict()) + "\n")


def _is_done(shard: Path) -> bool:
    """Whether a shard is there, or a note that says that none will be."""
    note = shard.with_suffix(".json")
    return shard.exists() or (note.is_file() and read_object(note).get("samples") == 0)


def convert(name: str, options: Options, out: Path, workers: int) -> dict[str, Any]:
    """Writes all shards that are not there yet; returns the summary.

    Raises:
        ValueError: the source holds nothing that can be used, or the folder something else.
        FileNotFoundError: there is no such source.
    """
    if not options.source.exists():
        raise FileNotFoundError(f"{options.source} is not there")
    if out.resolve() == options.source.resolve():
        raise ValueError(f"--out {out} is the source itself: name another folder")
    listing = FORMATS[name].listing(options)
    if not listing.chunks:
        raise ValueError(f"{options.source} holds nothing that format {name!r} knows{_most(listing.left)}")
    with FolderLock(out):
        note_plan(out, name, options, listing.chunks)
        paths = [out / f"shard-{number:06d}.tar" for number in range(len(listing.chunks))]
        tasks = [
            Task(name, options, chunk, path, number)
            for number, (chunk, path) in enumerate(zip(listing.chunks, paths, strict=True))
            if not _is_done(path)
        ]
        _write_all(tasks, workers)
        return _summary(out, paths, listing.template, listing.left)


def _write_all(tasks: list[Task], workers: int) -> None:
    workers = min(workers, len(tasks))
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        if workers <= 1:  # which needs no other process
            for task in bar.track(tasks, description="shards"):
                write(task)
            return
        with _pool(workers) as pool:
            written = as_completed([pool.submit(write, task) for task in tasks])
            for done in bar.track(written, total=len(tasks), description="shards"):
                done.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that write shards; what is not begun is left when one fails.

    Raises:
        ValueError: one was killed.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ValueError(
            "a process that wrote a shard was killed, as where memory ends: "
            "the same command goes on; give it fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Makes a worker end when what began it is gone, and leave Ctrl-C to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _summary(out: Path, paths: Iterable[Path], template: str, left: Iterable[Refused]) -> dict[str, Any]:
    samples, all_of = {}, Tally()
    for path in paths:
        note = read_object(path.with_suffix(".json"))
        samples |= {path.name: note["samples"]} if note["samples"] else {}
        all_of.add(note["skipped"], note.get("examples", {}))
    for refused in left:
        all_of.refuse(refused)
    all_of.samples = sum(samples.values())
    index = {"by": "datamodules.convert", "samples": all_of.samples, "shards": samples}
    write_text(out / "index.json", json.dumps(index, indent=1) + "\n")
    found = {"shards": len(samples), "template": template, **all_of.to_dict()}
    write_text(out / "summary.json", json.dumps(found, indent=1) + "\n")
    return found


def _most(left: list[Refused]) -> str:
    """What most of a source is that was left out whole."""
    kinds = Counter(refused.kind for refused in left).most_common(1)
    return f": {kinds[0][0]} ({kinds[0][1]})" if kinds else ""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m datamodules.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("format", choices=tuple(FORMATS))
    parser.add_argument("source", type=user_path)
    parser.add_argument("--out", type=user_path, required=True, help="folder that takes the shards")
    parser.add_argument("--images", type=user_path, help="folder that the source's image paths start from")
    parser.add_argument(
        "--caption", metavar="KEY", help="key or column of captions, where several are known or none"
    )
    parser.add_argument(
        "--split", help="train, validation, test or all; default: train, where there are splits"
    )
    parser.add_argument("--samples-per-shard", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 2 where nothing could be converted."""
    given = _parser().parse_args(arguments)
    try:
        if given.samples_per_shard < 1 or given.workers < 1:
            raise ValueError("--samples-per-shard and --workers must be at least 1")
        if given.images is not None and not given.images.is_dir():
            raise FileNotFoundError(f"--images {given.images} is no folder")
        options = Options(
            given.source, given.images, given.caption, given.split, given.samples_per_shard, given.out
        )
        found = convert(given.format, options, given.out, given.workers)
    except (ValueError, OSError) as error:
        print(f"convert: {printable(str(error))}", file=sys.stderr)
        return 2
    except RecursionError:
        print(f"convert: {given.source} has a row that is nested too deep", file=sys.stderr)
        return 2
    _report(found, given.out)
    return 0 if found["samples"] else 2


def _report(found: dict[str, Any], out: Path) -> None:
    """Prints what became of everything."""
    for reason, count in found["skipped"].items():
        examples = "; ".join(found["examples"][reason])
        print(printable(f"convert: skipped {count}: {reason} ({examples})"))
    if found["samples"]:
        print(f"convert: {found['samples']} samples in {found['shards']} shards in {out}")
        print(f"convert: template: {found['template']}")
    else:
        print(f"convert: not one sample: nothing in {out} can be trained on", file=sys.stderr)


if __name__ == "__main__":
    with user_errors("convert"):
        sys.exit(main())
