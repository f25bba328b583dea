"""llava: dialogues in JSON or lines of JSON (or in a table), each about images or none."""

from typing import Any

from datamodules.published_formats import tables
from datamodules.published_formats.files import check_split
from datamodules.published_formats.listing import Listing, Options, Rejected, chunked
from datamodules.published_formats.row_samples import DIALOGUES, ListedRow, RowChunk
from datamodules.published_formats.rows import JSON_ENDINGS, read_rows, rows_of_split


def listing(options: Options) -> Listing:
    """The rows of the file; raises ValueError if it is a folder, or no list of rows."""
    source = options.source
    if tables.is_table(source) or (source.is_dir() and any(map(tables.is_table, source.rglob("*")))):
        return tables.listing_of(DIALOGUES, options)
    if source.is_dir():
        inside = sorted(p.name for p in source.iterdir() if p.suffix.lower() in JSON_ENDINGS)
        hint = f", as {source / inside[0]}" if inside else ""
        raise ValueError(f"{source} is a folder: name the file of dialogues in it{hint}")
    options.check_unused("caption")
    rejected: list[Rejected] = []
    rows = rows_of_split(read_rows(source), check_split(options), rejected)
    named = [ListedRow(_name(where, row), row) for where, row in rows]
    chunks = [RowChunk(DIALOGUES, chunk) for chunk in chunked(named, options.size)]
    return Listing(chunks, DIALOGUES, rejected)


def _name(where: str, row: Any) -> str:
    """The position of a row in its file, and its own id."""
    name = row.get("id") if isinstance(row, dict) else None
    return f"{where} (id {str(name)[:60]})" if isinstance(name, (str, int)) else where
