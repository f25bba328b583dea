"""What a conversion was begun from, noted in its folder as plan.json: another source, or a changed one, is refused."""

import hashlib
import json
from pathlib import Path

from common.files import write_text
from common.json_files import read_object
from datamodules.published_formats import FORMATS, Chunk, Options


def note_plan(out: Path, name: str, options: Options, chunks: list[Chunk]) -> None:
    """Notes what the folder will hold, so that a run that is cut off is only resumed as it began.

    Raises:
        ValueError: something else was begun there, or a file of the source was changed since.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(json.dumps(chunk, default=str).encode())
        stamps = [_stamp(path) for path in FORMATS[name].files(options, chunk)]
        digest.update(json.dumps(stamps).encode())
    plan = {
        "format": name,
        "source": str(options.source.resolve()),
        "images": str(options.images.resolve()) if options.images else None,
        "caption": options.caption,
        "split": options.split,
        "samples_per_shard": options.size,
        "shards": len(chunks),
        "listing": digest.hexdigest(),
    }
    noted = out / "plan.json"
    if noted.is_file() and read_object(noted) != plan:
        raise ValueError(
            f"{out} was begun from something else, or with other settings, or its files have changed since: "
            f"name another folder, or remove {out}"
        )
    if not noted.is_file():
        write_text(noted, json.dumps(plan, indent=1) + "\n")


def _stamp(path: Path) -> list[int] | None:
    """A file's size and time of change, by which a changed one is known without reading it."""
    try:
        about = path.stat()
    except OSError:  # which is counted where the file is to be read
        return None
    return [about.st_size, about.st_mtime_ns]
