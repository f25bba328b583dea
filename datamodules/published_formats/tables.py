"""parquet: tables of pairs, of dialogues or of edits, by their columns: files, folders, what `save_to_disk` wrote.

Of a folder, the split train is taken; `cache-*.arrow`, which `map` leaves, is not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules.conversations import has_dialogue
from datamodules.published_formats import keys
from datamodules.published_formats.arrow import (
    CACHES,
    Piece,
    column_kinds,
    pieces,
    read_piece,
    saved_files,
    saved_splits,
)
from datamodules.published_formats.files import ALL, check_split, left_out, named_split, of_split, walk
from datamodules.published_formats.record import Chunk, Listing, Made, Options, Refused, attempt, check_unused
from datamodules.published_formats.rows import rows_of_split
from datamodules.published_formats.samples import dialogue, edits, pairs

TABLES = (".parquet", ".arrow")
PAIRS, DIALOGUES, EDITS = "describe, draw, ...", "conversation", "edit"


def listing(options: Options) -> Listing:
    """All tables of the source, in pieces.

    Raises:
        FileNotFoundError: there are none.
        ValueError: one has no columns that are known, or they are of several kinds.
    """
    left: list[Refused] = []
    files = table_files(options, left)
    kinds = {path: table_kind(path, options.caption) for path in files}
    if len(set(kinds.values())) > 1:
        one, other = list(dict.fromkeys(kinds.values()))[:2]
        examples = [next(p for p, k in kinds.items() if k == kind) for kind in (one, other)]
        raise ValueError(
            f"{examples[0]} is for template {one}, and {examples[1]} for {other}: convert them one by one"
        )
    chunks: list[Chunk] = [
        [str(piece.path), list(piece.groups), rows]
        for path in files
        for piece, rows in pieces(path, options.size)
    ]
    return Listing(chunks, kinds[files[0]], left)


def samples(options: Options, chunk: Chunk) -> Iterator[Made | Refused]:
    """The samples of a piece of a table."""
    name, groups, _ = chunk
    path = Path(name)
    kind = table_kind(path, options.caption)
    make = {PAIRS: pairs, DIALOGUES: dialogue, EDITS: edits}[kind]
    roots = [options.images] if options.images else [path.parent]
    columns = column_kinds(path)
    first = f" of row group {groups[0]}" if groups and groups[0] else ""
    number, asked = 0, ALL if options.split in _own_splits(options) else check_split(options)
    try:
        for number, row in enumerate(read_piece(Piece(path, tuple(groups))), 1):
            left: list[Refused] = []
            rows = [(f"{path.name}, row {number}{first}", _readable(row, columns))]
            for where, readable in rows_of_split(rows, asked, left):
                yield from attempt(where, lambda row=readable: make(row, roots, options.caption))
            yield from left
    except (ValueError, OSError) as error:
        yield Refused(f"{path.name}, after row {number}{first}", f"a table is damaged: {error}")


def files(options: Options, chunk: Chunk) -> Iterator[Path]:
    """The table of a piece; images that its rows name by path are known only once they are read."""
    yield Path(chunk[0])


def is_chunk(chunk: Chunk) -> bool:
    """Whether a chunk is one of these."""
    return len(chunk) == 3 and isinstance(chunk[0], str) and isinstance(chunk[1], list)


def _readable(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """A row without what can be neither image nor words, so that a number in `image_id` is not taken for one."""
    return {
        name: value for name, value in row.items() if columns.get(name) != "other" or isinstance(value, dict)
    }


def table_kind(path: Path, caption: str | None) -> str:
    """The template that reads what a table's columns hold.

    Raises:
        ValueError: no columns are known, or captions are in several.
    """
    columns = column_kinds(path)
    row = _typical(path, columns)
    if caption is not None and caption not in columns:
        raise ValueError(f"{path} has no column {caption!r}: there is {', '.join(columns)}")
    if keys.edit_keys(row, caption) is not None:
        return EDITS
    if has_dialogue(row) and caption is None:
        return DIALOGUES
    if keys.image_key(row) is None:
        raise ValueError(f"{path} has no column of images that is known: there is {', '.join(columns)}")
    if keys.caption_key(row, caption, str(path)) is None:
        known = ", ".join(columns)
        raise ValueError(
            f"{path} has no column of captions that is known among {known}: choose with --caption"
        )
    return PAIRS


def _typical(path: Path, columns: dict[str, str]) -> dict[str, Any]:
    """A row as the table's columns have it: its first, with a stand-in for whatever that leaves out."""
    blank = {
        "image": b"x",
        "images": [b"x"],
        "text": "x",
        "list": ["x"],
        "words": {"text": "x"},
        "other": None,
    }
    found = pieces(path, 1)
    row = next(read_piece(found[0][0]), {}) if found else {}
    row = {name: row.get(name) or blank[kind] for name, kind in columns.items()}
    texts = row.get("texts")  # the Cauldron's turns, or captions
    if isinstance(texts, list) and not isinstance(texts[0], dict):
        row["captions"] = row.pop("texts")
    return _readable(row, columns)


def table_files(options: Options, left: list[Refused]) -> list[Path]:
    """The tables of the source, of the split that was asked for.

    Raises:
        FileNotFoundError: there are none.
    """
    source = options.source
    if source.is_file():
        if source.suffix.lower() not in TABLES:
            raise ValueError(f"{source} is no table: it ends neither in .parquet nor in .arrow")
        return (
            [source.parent / path for path in of_split([Path(source.name)], options, left)]
            if options.split
            else [source]
        )
    if (source / "dataset_dict.json").is_file():
        return [path for split in _asked(options, left) for path in saved_files(source / split, left)]
    if (source / "state.json").is_file():
        check_unused(options, split=True)
        return saved_files(source, left)
    names = walk(source, left, options.out)
    caches = [name for name in names if name.suffix.lower() == ".arrow" and name.name.startswith(CACHES)]
    left += [Refused(str(name), "what map or filter has left is no data, left out") for name in caches]
    tables = [name for name in names if name.suffix.lower() in TABLES and name not in caches]
    if not tables:
        raise FileNotFoundError(f"no parquet or arrow files at {source}")
    return [source / name for name in of_split(tables, options, left)]


def _own_splits(options: Options) -> list[str]:
    """The splits of a DatasetDict, whose names are its own."""
    whole = (options.source / "dataset_dict.json").is_file()
    return saved_splits(options.source) if whole else []


def _asked(options: Options, left: list[Refused]) -> list[str]:
    """The splits of a DatasetDict that are taken; one of a name of its own is taken where it is asked for by it."""
    splits = saved_splits(options.source)
    if options.split in splits:
        chosen = [options.split]
    else:
        asked, unknown = check_split(options), "" if options.split else "train"
        chosen = [split for split in splits if asked in (ALL, named_split(split) or unknown)]
    if not chosen:
        raise ValueError(
            f"{options.source} has the splits {', '.join(splits)}: choose one with --split, or all"
        )
    left += [Refused(split, left_out(split)) for split in splits if split not in chosen]
    return chosen
