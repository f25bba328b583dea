"""Tables: parquet files, and Arrow's own as `datasets` saves them, a few rows at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.foreign_files import check_file
from common.json_files import read_object
from datamodules.published_formats.keys import TEXT_KEYS
from datamodules.published_formats.listing import Rejected

BATCH_ROWS = 64  # that are in memory at once: each may hold a photo
CACHES = ("cache-", "tmp")  # what map, filter and their like leave beside a data set: its rows again, changed


@dataclass(frozen=True)
class Piece:
    """Some of a table: row groups of a parquet file, or all of an Arrow file."""

    path: Path
    groups: tuple[int, ...] = ()


def pyarrow() -> Any:
    """The package.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError("tables need pyarrow: pip install -e '.[data]'") from error
    return pyarrow


@contextmanager
def _named(path: Path) -> Iterator[Any]:
    """The package, whose errors bear the file's name."""
    arrow = pyarrow()
    try:
        check_file(path)
        yield arrow
    except (arrow.ArrowException, OSError) as error:
        if getattr(error, "filename", None):  # which then says it itself
            raise
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def pieces(path: Path, size: int) -> list[tuple[Piece, int]]:
    """A table in pieces of at least `size` rows, as far as its row groups allow, and how many rows each has."""
    if path.suffix.lower() == ".arrow":
        return [(Piece(path), sum(len(batch) for batch in _arrow_batches(path)))]
    with _named(path) as arrow, arrow.parquet.ParquetFile(path) as file:
        found, groups, rows = [], [], 0
        for group in range(file.num_row_groups):
            groups.append(group)
            rows += file.metadata.row_group(group).num_rows
            if rows >= size or group == file.num_row_groups - 1:
                found.append((Piece(path, tuple(groups)), rows))
                groups, rows = [], 0
        return found


def read_piece(piece: Piece) -> Iterator[dict[str, Any]]:
    """The rows of a piece."""
    if piece.path.suffix.lower() == ".arrow":
        for batch in _arrow_batches(piece.path):
            for start in range(0, len(batch), BATCH_ROWS):
                yield from batch.slice(start, BATCH_ROWS).to_pylist()
        return
    with _named(piece.path) as arrow, arrow.parquet.ParquetFile(piece.path) as file:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=list(piece.groups)):
            yield from batch.to_pylist()


def read_table(path: Path) -> list[dict[str, Any]]:
    """All rows of a small table."""
    return [row for piece, _ in pieces(path, 1 << 20) for row in read_piece(piece)]


def column_kinds(path: Path) -> dict[str, str]:
    """What each column holds: "image" (bytes, or {"bytes", "path"}), "images", "text", "texts", "list" or "other"."""
    with _named(path) as arrow:
        if path.suffix.lower() == ".arrow":
            with arrow.memory_map(str(path)) as file:
                schema = _reader(arrow, file).schema
        else:
            schema = arrow.parquet.read_schema(path)
    return {field.name: _kind(arrow.types, field.type) for field in schema}


def _kind(types: Any, kind: Any) -> str:
    if types.is_dictionary(kind):
        return _kind(types, kind.value_type)
    if _is(types, kind, "binary", "large_binary", "fixed_size_binary", "binary_view"):
        return "image"
    if types.is_struct(kind):
        names = {field.name for field in kind}
        return "image" if {"bytes", "path"} <= names else "texts" if names & set(TEXT_KEYS) else "other"
    if _is(types, kind, "list", "large_list", "fixed_size_list"):
        return "images" if _kind(types, kind.value_type) == "image" else "list"
    return "text" if _is(types, kind, "string", "large_string", "string_view") else "other"


def _is(types: Any, kind: Any, *names: str) -> bool:
    return any(getattr(types, f"is_{name}")(kind) for name in names)


def _reader(arrow: Any, file: Any) -> Any:
    """A reader of Arrow's stream format, which `datasets` writes, or of its file format."""
    try:
        return arrow.ipc.open_stream(file)
    except arrow.ArrowInvalid:
        file.seek(0)
        return arrow.ipc.open_file(file)


def _arrow_batches(path: Path) -> Iterator[Any]:
    with _named(path) as arrow, arrow.memory_map(str(path)) as file:
        reader = _reader(arrow, file)
        if hasattr(reader, "num_record_batches"):
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from reader


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
    names = [one.get("filename") for one in named if isinstance(one, dict)] if isinstance(named, list) else []
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise ValueError(f"{folder / 'state.json'} names no files that lie beside it in _data_files")
    for name in names:
        check_file(folder / name)
    beside = sorted(path for path in folder.glob("*.arrow") if path.name not in names)
    rejected += [Rejected(str(path), "a table that state.json does not name is left out") for path in beside]
    return [folder / name for name in names]


def saved_splits(folder: Path) -> list[str]:
    """The splits of a DatasetDict.

    Raises:
        ValueError: its dataset_dict.json names none.
    """
    splits = read_object(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not all(isinstance(s, str) and s == Path(s).name for s in splits):
        raise ValueError(f"{folder / 'dataset_dict.json'} names no splits: {json.dumps(splits)[:100]}")
    return splits
