"""Emu Edit's test set (arXiv 2311.10089) as it is on the hub, facebook/emu_edit_test_set: parquet files of two splits.

A row has an image, an instruction, a task, a number (`idx`) and captions of the image before and after. There is no
reference image: what is kept is measured against the image before, what is changed against the caption after.
The result of row 7 is called `7.png`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from common.checks import check_choice, check_text
from common.hashes import hash_bytes
from evals.editing.edits import Comparison, Edit, EditingTestSet

TEXT_COLUMNS = ("instruction", "task", "input_caption", "output_caption")
COLUMNS = ("idx", "image", *TEXT_COLUMNS)
TASKS = ("add", "background", "color", "global", "local", "remove", "style", "text", "texture")
SPLITS = ("test", "validation")
PROTOCOL = (
    "Emu Edit's: DINO, CLIP-I and L1 against the image before the edit, CLIP-T against the caption after it, CLIP-DIR "
    "between the two images and the two captions"
)


def read_emu_edit(folder: Path, split: str, limit: int | None) -> EditingTestSet:
    """The edits of a split, of which the first `limit` are asked for.

    Raises FileNotFoundError if it has no files; ValueError if a file or a row is invalid, or pyarrow is not installed.
    """
    check_choice(split, SPLITS, "split")
    _read_group.cache_clear()  # of files that may have changed
    files = sorted({*folder.glob(f"{split}-*.parquet"), *folder.glob(f"data/{split}-*.parquet")})
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no {split}-*.parquet: give --data the folder of facebook/emu_edit_test_set, "
            f"or another --split ({', '.join(SPLITS)})"
        )
    edits: dict[str, Edit] = {}
    comparisons: list[Comparison] = []
    for file in files:
        for read, row, where in _rows(file):
            name = _check(row, where)
            if name in edits:
                raise ValueError(f"{where}: idx {row['idx']} is there twice: give the files of one version")
            edits[name] = Edit(name, row["instruction"], read)
            captions = (row["input_caption"], row["output_caption"])
            cluster = hash_bytes(row["image"])  # edits of one image resemble each other
            comparisons.append(Comparison(name, read, read, *captions, cluster, row["task"]))
    wanted = frozenset(list(edits)[:limit])
    return EditingTestSet(list(edits.values()), wanted, {"emu_edit": comparisons[:limit]}, PROTOCOL)


def _rows(file: Path) -> Iterator[tuple[partial[bytes], dict[str, Any], str]]:
    """Each row with a reader of its image's bytes and its location; only one group of rows is in memory."""
    opened = _open(file)
    if missing := sorted(set(COLUMNS) - set(opened.schema_arrow.names)):
        raise ValueError(
            f"{file} has no column {', '.join(missing)}: give the files of facebook/emu_edit_test_set"
        )
    number = 0
    for group in range(opened.num_row_groups):
        for index, row in enumerate(_read_group(file, group)):
            yield partial(_read_image, file, group, index), row, f"{file}, row {number}"
            number += 1


def _check(row: Mapping[str, Any], where: str) -> str:
    """The name of a row's result."""
    if type(row["idx"]) is not int or row["idx"] < 0:
        raise ValueError(f"{where}: idx must be a number from 0, not {row['idx']!r}")
    for key in TEXT_COLUMNS:
        check_text(row[key], f"{where}: {key}")
    check_choice(row["task"], TASKS, f"{where}: task")
    if not isinstance(row["image"], bytes):
        raise ValueError(f"{where}: image holds no bytes: the files must hold the images themselves")
    return f"{row['idx']}.png"


def _read_image(file: Path, group: int, index: int) -> bytes:
    return _read_group(file, group)[index]["image"]


@lru_cache(maxsize=2)  # rows are read in order
def _read_group(file: Path, group: int) -> list[dict[str, Any]]:
    """A group of rows with the bytes of their images."""
    try:
        rows = _open(file).read_row_group(group, columns=list(COLUMNS)).to_pylist()
    except OSError as error:
        raise ValueError(f"{file} is damaged ({error}): fetch it again") from error
    images = (row["image"] for row in rows)
    files = [image.get("bytes") if isinstance(image, dict) else image for image in images]
    return [row | {"image": image} for row, image in zip(rows, files, strict=True)]


def _open(file: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise ValueError("Emu Edit's parquet files need pyarrow: pip install -e '.[data]'") from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no parquet file ({error}): fetch it again") from error
