"""parquet: tables of pairs, of dialogues or of edits, by their columns: files, folders, what `save_to_disk` wrote.

Of a folder, the split train is taken; `cache-*.arrow`, which `map` leaves, is not.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common.foreign_files import check_file
from common.json_files import read_object
from datamodules.conversations import has_dialogue
from datamodules.published_formats import keys
from datamodules.published_formats.arrow import column_kinds, pieces, read_rows
from datamodules.published_formats.files import ALL, check_split, left_out, named_split, of_split, walk
from datamodules.published_formats.listing import Chunk, Listing, Members, Options, Rejected, attempt
from datamodules.published_formats.row_samples import DIALOGUES, EDITS, PAIRS, row_samples
from datamodules.published_formats.rows import rows_of_split

ENDINGS = (".parquet", ".arrow")
CACHES = ("cache-", "tmp")  # what map, filter and their like leave beside a data set: its rows again, changed


def is_table(path: Path) -> bool:
    """Whether a file is one, by its ending."""
    return path.suffix.lower() in ENDINGS


def listing(options: Options) -> Listing:
    """All tables of the source, in pieces.

    Raises:
        FileNotFoundError: there are none.
        ValueError: one has no columns that are known, or they are of several kinds.
    """
    rejected: list[Rejected] = []
    files = table_files(options, rejected)
    kinds = {path: table_kind(path, options.caption) for path in files}
    if len(set(kinds.values())) > 1:
        one, other = list(dict.fromkeys(kinds.values()))[:2]
        examples = [next(p for p, k in kinds.items() if k == kind) for kind in (one, other)]
        raise ValueError(
            f"{examples[0]} is for template {one}, {examples[1]} for {other}: convert each by itself"
        )
    chunks = [
        TableChunk(str(path), kinds[path], groups, rows)
        for path in files
        for groups, rows in pieces(path, options.size)
    ]
    return Listing(chunks, kinds[files[0]], rejected)


def listing_of(kind: str, options: Options) -> Listing:
    """As `listing`, of tables of one kind; raises ValueError if they are of another."""
    found = listing(options)
    if found.template != kind:
        what = {DIALOGUES: "dialogues", EDITS: "edits"}[kind]
        raise ValueError(f"{options.source} holds no {what}: convert it as parquet")
    return found


@dataclass(frozen=True)
class TableChunk(Chunk):
    """A piece of a table, by its row groups and its number of rows."""

    path: str
    kind: str
    groups: list[int]
    rows: int

    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        path = Path(self.path)
        roots = [options.images or path.parent]
        columns = column_kinds(path)
        group = f" of row group {self.groups[0]}" if self.groups and self.groups[0] else ""
        number, asked = 0, ALL if options.split in _own_splits(options) else check_split(options)
        try:
            for number, row in enumerate(read_rows(path, self.groups), 1):
                rejected: list[Rejected] = []
                rows = [(f"{path.name}, row {number}{group}", _readable(row, columns))]
                for where, kept in rows_of_split(rows, asked, rejected):
                    make = partial(row_samples, self.kind, kept, roots, options.caption)
                    yield from attempt(where, make)
                yield from rejected
        except (ValueError, OSError) as error:
            yield Rejected(f"{path.name}, after row {number}{group}", f"a table is damaged: {error}")

    def files(self, options: Options) -> Iterator[Path]:
        """The table; images that its rows name by path are known only once they are read."""
        yield Path(self.path)


def _readable(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """A row without what can be neither image nor text, so that a number in `image_id` is not taken for one."""
    return {k: v for k, v in row.items() if columns.get(k) != "other" or isinstance(v, dict)}


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
        raise ValueError(f"{path} has no known column of images: there is {', '.join(columns)}")
    if keys.caption_key(row, caption, str(path)) is None:
        known = ", ".join(columns)
        raise ValueError(f"{path} has no known column of captions among {known}: choose with --caption")
    return PAIRS


def _typical(path: Path, columns: dict[str, str]) -> dict[str, Any]:
    """A row as the table's columns have it: its first, with a stand-in for whatever that leaves out."""
    blank = {
        "image": b"x",
        "images": [b"x"],
        "text": "x",
        "list": ["x"],
        "texts": {"text": "x"},
        "other": None,
    }
    found = pieces(path, 1)
    first = next(read_rows(path, found[0][0]), {}) if found else {}
    row = {name: first.get(name) or blank[kind] for name, kind in columns.items()}
    texts = row.get("texts")  # the Cauldron's turns, or captions
    if isinstance(texts, list) and not isinstance(texts[0], dict):
        row["captions"] = row.pop("texts")
    return _readable(row, columns)


def table_files(options: Options, rejected: list[Rejected]) -> list[Path]:
    """The tables of the source, of the split that was asked for; raises FileNotFoundError if there are none."""
    source = options.source
    if source.is_file():
        if not is_table(source):
            raise ValueError(f"{source} is no table: it ends neither in .parquet nor in .arrow")
        if not options.split:
            return [source]
        return [source.parent / path for path in of_split([Path(source.name)], options, rejected)]
    if (source / "dataset_dict.json").is_file():
        return [path for split in _asked(options, rejected) for path in saved_files(source / split, rejected)]
    if (source / "state.json").is_file():
        options.check_unused("split")
        return saved_files(source, rejected)
    names = walk(source, rejected, options.out)
    caches = [name for name in names if name.suffix.lower() == ".arrow" and name.name.startswith(CACHES)]
    rejected += [Rejected(str(name), "what map or filter has left is no data, left out") for name in caches]
    tables = [name for name in names if is_table(name) and name not in caches]
    if not tables:
        raise FileNotFoundError(f"no parquet or arrow files at {source}")
    return [source / name for name in of_split(tables, options, rejected)]


def _own_splits(options: Options) -> list[str]:
    """The splits of a DatasetDict, whose names are its own."""
    return saved_splits(options.source) if (options.source / "dataset_dict.json").is_file() else []


def _asked(options: Options, rejected: list[Rejected]) -> list[str]:
    """The splits of a DatasetDict that are taken; one of a name of its own is taken where it is asked for by it."""
    splits = saved_splits(options.source)
    if options.split in splits:
        chosen = [options.split]
    else:
        asked, unknown = check_split(options), "" if options.split else "train"
        chosen = [split for split in splits if asked in (ALL, named_split(split) or unknown)]
    if not chosen:
        raise ValueError(f"{options.source} has the splits {', '.join(splits)}: choose by --split, or all")
    rejected += [Rejected(split, left_out(split)) for split in splits if split not in chosen]
    return chosen


def saved_files(folder: Path, rejected: list[Rejected]) -> list[Path]:
    """The tables of a data set that `save_to_disk` wrote, as its state.json names them.

    Raises:
        ValueError: it names rows of them alone, or nothing.
        FileNotFoundError: one is not there.
    """
    state = read_object(folder / "state.json")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise ValueError(
            f"{folder / 'state.json'} takes some rows alone of its files: save it with flatten_indices() first"
        )
    named = state.get("_data_files")
    names: list[Any] = named if isinstance(named, list) else []
    names = [one.get("filename") for one in names if isinstance(one, dict)]
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise ValueError(f"{folder / 'state.json'} names no files that lie beside it in _data_files")
    for name in names:
        check_file(folder / name)
    beside = sorted(path for path in folder.glob("*.arrow") if path.name not in names)
    rejected += [Rejected(str(path), "a table that state.json does not name is left out") for path in beside]
    return [folder / name for name in names]


def saved_splits(folder: Path) -> list[str]:
    """The splits of a DatasetDict; raises ValueError if its dataset_dict.json names none."""
    splits = read_object(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not all(isinstance(s, str) and s == Path(s).name for s in splits):
        raise ValueError(f"{folder / 'dataset_dict.json'} names no splits: {json.dumps(splits)[:100]}")
    return splits
