"""Tables: parquet files, and Arrow's own as `datasets` saves them, a few rows at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.foreign_files import check_file
from datamodules.published_formats.keys import TEXT_KEYS

BATCH_ROWS = 64  # that are in memory at once: each may hold a photo


def pyarrow() -> Any:
    """The package; raises ValueError if it is not installed."""
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
        if getattr(error, "filename", None):  # which is in its message
            raise
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def pieces(path: Path, size: int) -> list[tuple[list[int], int]]:
    """Row groups that have at least `size` rows together, and how many they have; an Arrow file is one piece."""
    if path.suffix.lower() == ".arrow":
        return [([], sum(len(batch) for batch in _arrow_batches(path)))]
    with _named(path) as arrow, arrow.parquet.ParquetFile(path) as file:
        found: list[tuple[list[int], int]] = []
        groups: list[int] = []
        rows = 0
        for group in range(file.num_row_groups):
            groups.append(group)
            rows += file.metadata.row_group(group).num_rows
            if rows >= size or group == file.num_row_groups - 1:
                found.append((groups, rows))
                groups, rows = [], 0
        return found


def read_rows(path: Path, groups: list[int]) -> Iterator[dict[str, Any]]:
    """The rows of some row groups; all of an Arrow file."""
    if path.suffix.lower() == ".arrow":
        for batch in _arrow_batches(path):
            for start in range(0, len(batch), BATCH_ROWS):
                yield from batch.slice(start, BATCH_ROWS).to_pylist()
        return
    with _named(path) as arrow, arrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups):
            yield from batch.to_pylist()


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
