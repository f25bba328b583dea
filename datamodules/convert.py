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
one that is there is kept. docs/use/data.md lists what is read and what is refused.
"""

import argparse
import hashlib
import json
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.json_files import read_object
from common.paths import user_path
from common.process_pool import map_processes
from common.tar_members import add_member
from common.terminal import printable
from datamodules.published_formats import FORMATS, Chunk, Listing, Members, Options, Rejected

MAX_EXAMPLES = 3  # of each reason


@dataclass(frozen=True)
class Task:
    """One shard to write."""

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

    def reject(self, rejected: Rejected) -> None:
        """Counts one thing that was left out."""
        detail = rejected.reason.partition(":")[2]
        self.add({rejected.kind: 1}, {rejected.kind: [rejected.what + (f":{detail}" if detail else "")]})

    def add(self, skipped: dict[str, int], examples: dict[str, list[str]]) -> None:
        """Adds another tally's counts."""
        self.skipped.update(skipped)
        for reason, found in examples.items():
            known = self.examples.setdefault(reason, [])
            known += found[: MAX_EXAMPLES - len(known)]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, the most frequent reason first."""
        skipped = dict(self.skipped.most_common())
        examples = {reason: self.examples[reason] for reason in skipped}
        return {"samples": self.samples, "skipped": skipped, "examples": examples}


def write_shard(task: Task) -> None:
    """Writes one shard, and before it gets its name a note of what was skipped; of no samples, the note alone."""
    tally = Tally()
    samples = _accepted(task.chunk.samples(task.options), tally)
    first = next(samples, None)
    if first is None:
        _write_note(task.path, tally)
        return
    with atomic(task.path) as scratch:
        with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar:
            for members in chain([first], samples):
                for ending, content in members.items():
                    add_member(tar, f"{task.number:06d}{tally.samples:06d}.{ending}", content)
                tally.samples += 1
        _write_note(task.path, tally)


def _accepted(samples: Iterable[Members | Rejected], tally: Tally) -> Iterator[Members]:
    for sample in samples:
        if isinstance(sample, Rejected):
            tally.reject(sample)
        else:
            yield sample


def _write_note(shard: Path, tally: Tally) -> None:
    write_text(shard.with_suffix(".json"), json.dumps(tally.to_dict()) + "\n")


def _is_done(shard: Path) -> bool:
    """Whether a shard is there, or a note that there will be none."""
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
    listing = FORMATS[name](options)
    if not listing.chunks:
        kinds = Counter(rejected.kind for rejected in listing.rejected).most_common(1)
        most = f": {kinds[0][0]} ({kinds[0][1]})" if kinds else ""
        raise ValueError(f"{options.source} holds nothing that format {name!r} knows{most}")
    with FolderLock(out):
        _note_source(out, name, options, listing.chunks)
        paths = [out / f"shard-{number:06d}.tar" for number in range(len(listing.chunks))]
        tasks = [
            Task(options, chunk, path, number)
            for number, (chunk, path) in enumerate(zip(listing.chunks, paths, strict=True))
            if not _is_done(path)
        ]
        for _ in map_processes(write_shard, tasks, workers, "shards written"):
            pass
        return _summarize(out, paths, listing)


def _note_source(out: Path, name: str, options: Options, chunks: Sequence[Chunk]) -> None:
    """Notes in source.json what the folder will hold, so that a run that is cut off is only resumed as it began.

    Raises:
        ValueError: something else was begun there, or a file of the source was changed since.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        versions = [_version(path) for path in chunk.files(options)]
        digest.update(json.dumps([vars(chunk), versions], default=str).encode())
    settings = {key: value and str(value) for key, value in asdict(options).items() if key != "out"}
    settings |= {"source": str(options.source.resolve())}
    settings |= {"images": str(options.images.resolve()) if options.images else None}
    source = {"format": name, **settings, "shards": len(chunks), "listing": digest.hexdigest()}
    note = out / "source.json"
    if not note.is_file():
        write_text(note, json.dumps(source, indent=1) + "\n")
    elif read_object(note) != source:
        raise ValueError(
            f"{out} was begun from something else, or with other settings, or its files have changed since: "
            f"name another folder, or remove {out}"
        )


def _version(path: Path) -> list[int] | None:
    """A file's size and time of change, which differ once it has changed."""
    try:
        stat = path.stat()
    except OSError:  # which is counted where the file is to be read
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _summarize(out: Path, paths: Iterable[Path], listing: Listing) -> dict[str, Any]:
    samples: dict[str, int] = {}
    tally = Tally()
    for path in paths:
        note = read_object(path.with_suffix(".json"))
        samples |= {path.name: note["samples"]} if note["samples"] else {}
        tally.add(note["skipped"], note.get("examples", {}))
    for rejected in listing.rejected:
        tally.reject(rejected)
    tally.samples = sum(samples.values())
    index = {"by": "datamodules.convert", "samples": tally.samples, "shards": samples}
    write_text(out / "index.json", json.dumps(index, indent=1) + "\n")
    summary = {"shards": len(samples), "template": listing.template, **tally.to_dict()}
    write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m datamodules.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("format", choices=tuple(FORMATS))
    add("source", type=user_path)
    add("--out", type=user_path, required=True, help="folder that takes the shards")
    add("--images", type=user_path, help="folder that the source's image paths start from")
    add("--caption", metavar="KEY", help="key or column of captions, where several are known or none")
    add("--split", help="train, validation, test or all; default: train, where there are splits")
    add("--samples-per-shard", type=int, default=2000, help="default: %(default)s")
    add("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    return parser


@user_errors("convert")
def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 2 where nothing could be converted."""
    args = _parser().parse_args(arguments)
    if args.samples_per_shard < 1 or args.workers < 1:
        raise ValueError("--samples-per-shard and --workers must be at least 1")
    if args.images is not None and not args.images.is_dir():
        raise FileNotFoundError(f"--images {args.images} is no folder")
    options = Options(args.source, args.images, args.caption, args.split, args.samples_per_shard, args.out)
    try:
        found = convert(args.format, options, args.out, args.workers)
    except RecursionError:
        raise ValueError(f"{args.source} has a row that is nested too deep") from None
    _print(found, args.out)
    return 0 if found["samples"] else 2


def _print(found: dict[str, Any], out: Path) -> None:
    for reason, count in found["skipped"].items():
        examples = "; ".join(found["examples"][reason])
        print(printable(f"convert: skipped {count}: {reason} ({examples})"))
    if found["samples"]:
        print(f"convert: {found['samples']} samples in {found['shards']} shards in {out}")
        print(f"convert: template: {found['template']}")
    else:
        print(f"convert: not one sample: nothing in {out} can be trained on", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
