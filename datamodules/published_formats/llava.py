"""llava: dialogues in JSON or lines of JSON (or in a table), each about images or none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules.published_formats import tables
from datamodules.published_formats.files import check_split, plain
from datamodules.published_formats.record import (
    Chunk,
    Listing,
    Made,
    Options,
    Refused,
    attempt,
    check_unused,
    slices,
)
from datamodules.published_formats.rows import JSON_ENDINGS, read_rows, rows_of_split
from datamodules.published_formats.samples import dialogue, dialogue_files


def listing(options: Options) -> Listing:
    """The rows of the file.

    Raises:
        ValueError: it is a folder, or no list of rows.
    """
    if _is_table(options):
        found = tables.listing(options)
        if found.template != tables.DIALOGUES:
            raise ValueError(f"{options.source} holds no dialogues: convert it as parquet")
        return found
    if options.source.is_dir():
        inside = sorted(p.name for p in options.source.iterdir() if p.suffix.lower() in JSON_ENDINGS)
        hint = f", as {options.source / inside[0]}" if inside else ""
        raise ValueError(f"{options.source} is a folder: name the file of dialogues in it{hint}")
    check_unused(options, caption=True)
    left: list[Refused] = []
    rows = rows_of_split(read_rows(options.source), check_split(options), left)
    return Listing(slices(rows, options.size), tables.DIALOGUES, left)


def samples(options: Options, chunk: Chunk) -> Iterator[Made | Refused]:
    """The samples of some rows."""
    if tables.is_chunk(chunk):
        yield from tables.samples(options, chunk)
        return
    roots = [options.images or plain(options)]
    for where, row in chunk:
        yield from attempt(_named(where, row), lambda row=row: dialogue(row, roots))


def files(options: Options, chunk: Chunk) -> Iterator[Path]:
    """The images that rows name."""
    if tables.is_chunk(chunk):
        yield from tables.files(options, chunk)
        return
    roots = [options.images or plain(options)]
    for _, row in chunk:
        yield from dialogue_files(row, roots)


def _is_table(options: Options) -> bool:
    source = options.source
    return source.suffix.lower() in tables.TABLES or (
        source.is_dir() and any(p.suffix.lower() in tables.TABLES for p in source.rglob("*"))
    )


def _named(where: str, row: Any) -> str:
    """Where a row stands, and what it calls itself."""
    name = row.get("id") if isinstance(row, dict) else None
    return f"{where} (id {str(name)[:60]})" if isinstance(name, (str, int)) else where
