"""Makes shards of what others publish: `python -m datamodules.convert FORMAT SOURCE --out DIR`.

| FORMAT        | SOURCE                                                                    | template     |
|---------------|---------------------------------------------------------------------------|--------------|
| folder        | images, each with a .txt of the same name, or a captions.json / .jsonl     | draw, ...    |
| img2dataset   | what img2dataset wrote in its webdataset format                            | draw, ...    |
| parquet       | a parquet file, a folder of them, or a saved Hugging Face data set          | draw, ...    |
| llava         | a LLaVA JSON (Pretrain 558K, instruct); --images is where its images are    | conversation |
| edits         | InstructPix2Pix's or MagicBrush's folders                                   | edit         |

Restartable: a shard bears its name only when it is whole, and one that is there is not made again. What cannot be used is
counted by reason in summary.json, and is in no shard.
"""

import argparse
import json
import os
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import Progress

from datamodules.published_formats import FORMATS, Record
from datamodules.shard import add_member


@dataclass(frozen=True)
class Task:
    """One shard to write."""

    format: str
    source: Path
    images: Path
    chunk: Record
    path: Path
    number: int


@dataclass
class Written:
    """What became of a shard."""

    path: str
    samples: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def write(task: Task) -> Written:
    """Writes one shard, and beside it a note of what was skipped; nothing bears its name before it is whole."""
    done = Written(task.path.name)
    part = task.path.with_suffix(".tmp")
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for made in FORMATS[task.format].samples(task.source, task.images, task.chunk):
            if isinstance(made, str):
                done.skipped[made.partition(":")[0]] += 1
                continue
            for ending, content in made.items():
                add_member(tar, f"{task.number:06d}{done.samples:06d}.{ending}", content)
            done.samples += 1
    note = {"samples": done.samples, "skipped": dict(done.skipped)}
    task.path.with_suffix(".json").write_text(json.dumps(note) + "\n", encoding="utf-8")
    part.replace(task.path)
    return done


def convert(
    name: str, source: Path, out: Path, images: Path | None, size: int, workers: int
) -> dict[str, Any]:
    """Writes all shards that are not there yet; returns the summary.

    Raises:
        ValueError: the folder holds, or was going to hold, something else.
        FileNotFoundError: there is no such source.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} is not there")
    images = images or (source if source.is_dir() else source.parent)
    chunks = FORMATS[name].chunks(source, size)
    if not chunks:
        raise ValueError(f"{source} holds nothing that format {name!r} knows")
    plan = {"format": name, "source": str(source.resolve()), "samples_per_shard": size, "shards": len(chunks)}
    out.mkdir(parents=True, exist_ok=True)
    noted = out / "plan.json"
    if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) != plan:
        raise ValueError(f"{out} was begun from something else, or with other settings: name another folder")
    noted.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    tasks = [
        Task(name, source, images, chunk, out / f"shard-{number:06d}.tar", number)
        for number, chunk in enumerate(chunks)
        if not (out / f"shard-{number:06d}.tar").exists()
    ]
    with get_context("spawn").Pool(min(workers, max(1, len(tasks)))) as pool, Progress(transient=True) as bar:
        for _ in bar.track(pool.imap_unordered(write, tasks), total=len(tasks), description="shards"):
            pass
    return _summary(out, len(chunks))


def _summary(out: Path, shards: int) -> dict[str, Any]:
    samples, skipped = {}, Counter()
    for number in range(shards):
        note = json.loads((out / f"shard-{number:06d}.json").read_text(encoding="utf-8"))
        samples[f"shard-{number:06d}.tar"] = note["samples"]
        skipped.update(note["skipped"])
    index = {"by": "datamodules.convert", "samples": sum(samples.values()), "shards": samples}
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    found = {"shards": shards, "samples": index["samples"], "skipped": dict(skipped.most_common())}
    (out / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("format", choices=tuple(FORMATS))
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder that takes the shards")
    parser.add_argument("--images", type=Path, help="folder that the source's image paths start from")
    parser.add_argument("--samples-per-shard", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        if options.samples_per_shard < 1 or options.workers < 1:
            raise ValueError("--samples-per-shard and --workers must be at least 1")
        found = convert(
            options.format,
            options.source,
            options.out,
            options.images,
            options.samples_per_shard,
            options.workers,
        )
    except (ValueError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    print(f"convert: {found['samples']} samples in {found['shards']} shards in {options.out}")
    for reason, count in found["skipped"].items():
        print(f"convert: skipped {count}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
