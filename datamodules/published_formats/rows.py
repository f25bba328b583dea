"""Rows of the files that list captions: JSON, lines of JSON, CSV and TSV, COCO's annotations, metadata.parquet."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.foreign_files import check_file
from common.json_files import parse_json_or_lines
from common.text import decode_text
from datamodules.conversations import has_dialogue
from datamodules.published_formats.arrow import pieces
from datamodules.published_formats.arrow import read_rows as read_table_rows
from datamodules.published_formats.files import ALL, left_out, named_split
from datamodules.published_formats.keys import edit_keys, image_key
from datamodules.published_formats.listing import Rejected
from datamodules.shard import packed_by

Row = tuple[str, Any]  # its position (file and line), and its values
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
LISTS = (*JSON_ENDINGS, ".csv", ".tsv", ".txt", ".parquet")
DELIMITERS = (",", "\t", ";", "|")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, each with its position.

    Raises:
        ValueError: the file is of another kind or shape; the message names the line.
        FileNotFoundError: it is not there.
    """
    check_file(path)
    if path.suffix.lower() == ".parquet":
        rows = (row for groups, _ in pieces(path, 1 << 20) for row in read_table_rows(path, groups))
        return [(f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1)]
    content = path.read_bytes()
    if packed := packed_by(content):
        raise ValueError(f"{path} is packed: unpack {packed} first")
    text = decode_text(content, str(path))
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return list(_csv_rows(text, path))
    value, lines = parse_json_or_lines(text, str(path))
    if lines is not None:
        return [(f"{path.name}, line {number}", row) for number, row in lines]
    return [(f"{path.name}, row {number}", row) for number, row in enumerate(_listed(value, path), 1)]


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    header = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        delimiter=max(DELIMITERS, key=header.count),
        skipinitialspace=True,
        strict=True,
    )
    try:
        reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise ValueError(f"{path} has several columns named {twice[0]!r}: give each a name of its own")
        for row in reader:
            yield f"{path.name}, line {reader.line_num}", row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num + 1}: no CSV that is read: {error}") from error


def _listed(value: Any, path: Path) -> list[Any]:
    """The rows of one JSON value."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{path} is no list of rows, but a {type(value).__name__}")
    if path.suffix.lower() != ".json" or has_dialogue(value) or edit_keys(value, None) or _names_image(value):
        return [value]
    images, annotations = value.get("images"), value.get("annotations")
    if isinstance(images, list) and isinstance(annotations, list):
        return _coco(images, annotations, path)
    lists = (value.get(key) for key in ("annotations", "data", "images", "rows"))
    rows = next((found for found in lists if isinstance(found, list)), None)
    if rows is not None and all(isinstance(row, dict) for row in rows):
        return [_karpathy(row) for row in rows]
    if value and all(_is_row(row) for row in value.values()):  # by their ids
        return list(value.values())
    if value and all(map(named_split, value)) and all(isinstance(found, list) for found in value.values()):
        return [
            {**row, "split": name} if isinstance(row, dict) else row
            for name, found in value.items()
            for row in found
        ]
    return [{"image": name, "caption": caption} for name, caption in sorted(value.items())]


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and (has_dialogue(value) or _names_image(value))


def _names_image(row: dict[str, Any]) -> bool:
    """Whether an object is a row of a pair, and not names with their captions."""
    key = image_key(row)
    return key is not None and isinstance(row[key], str) and len(row) > 1


def _coco(images: list[Any], annotations: list[Any], path: Path) -> list[Any]:
    """COCO's captions: one row an annotation, and one for an image that has none."""
    named = {_id(i, "id"): i.get("file_name") for i in images if isinstance(i, dict)}
    captioned = [a for a in annotations if isinstance(a, dict) and "caption" in a]
    if annotations and not captioned:
        raise ValueError(f"{path} has annotations without captions: take COCO's captions_*.json")
    rows: list[Any] = [{"image": named.get(_id(a, "image_id")), "caption": a["caption"]} for a in captioned]
    rows += [a for a in annotations if not (isinstance(a, dict) and "caption" in a)]
    bare = named.keys() - {_id(a, "image_id") for a in captioned}
    return rows + [{"image": named[i]} for i in sorted(bare)]


def _id(row: dict[str, Any], key: str) -> str:
    """An id by which rows refer to one another; some files have it as text here and as a number there."""
    return str(row.get(key))


def _karpathy(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Karpathy's dataset_coco.json has its folder apart, and more about each sentence than its text."""
    if isinstance(row.get("sentences"), list) and isinstance(row.get("filename"), str):
        name = "/".join(str(part) for part in (row.get("filepath"), row["filename"]) if part)
        return {"image": name, "sentences": row["sentences"], "split": row.get("split")}
    return row


def rows_of_split(rows: Sequence[Row], asked: str, rejected: list[Rejected]) -> list[Row]:
    """Rows but those whose `split` is another than the asked one."""
    kept = []
    for where, row in rows:
        named = row.get("split") if isinstance(row, dict) else None
        split = named_split(named) if isinstance(named, str) else None
        if split is None or asked in (split, ALL):
            kept.append((where, row))
        else:
            rejected.append(Rejected(where, left_out(split)))
    return kept
