"""Emu Edit's test set (arXiv 2311.10089) as it lies on the hub, facebook/emu_edit_test_set: parquet files of two splits.

A row has an image, an instruction, a task, a number (`idx`) and captions of the image before and after. There is no image
of a right answer: what is kept is measured against the image before, what is changed against the caption after.
The result of row 7 is called `7.png`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from common.checks import check_choice, check_text
from common.hashes import hash_bytes
from evals.editing.edits import Benchmark, Comparison, Edit

WORDS = ("instruction", "task", "input_caption", "output_caption")
COLUMNS = ("idx", "image", *WORDS)
TASKS = ("add", "background", "color", "global", "local", "remove", "style", "text", "texture")
SPLITS = ("test", "validation")
PROTOCOL = (
    "Emu Edit's: DINO, CLIP-I and L1 against the image before the edit, CLIP-T against the caption after it, CLIP-DIR "
    "between the two images and the two captions"
)


def read_emu_edit(folder: Path, split: str, limit: int | None) -> Benchmark:
    """The edits of a split, of which the first so many are asked for.

    Raises:
        FileNotFoundError: there is none of its files.
        ValueError: a file or a row is not what it should be, or pyarrow is not installed.
    """
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
            group = hash_bytes(row["image"])  # edits of one image resemble each other
            comparisons.append(Comparison(name, read, read, *captions, group, row["task"]))
    wanted = frozenset(list(edits)[:limit])
    return Benchmark("emu_edit", list(edits.values()), wanted, {"emu_edit": comparisons[:limit]}, PROTOCOL)


def _rows(file: Path) -> Iterator[tuple[partial[bytes], dict[str, Any], str]]:
    """Each row with its image's bytes, how to read those again, and where it is; only one group of rows is held."""
    opened = _open(file)
    if lost := sorted(set(COLUMNS) - set(opened.schema_arrow.names)):
        raise ValueError(
            f"{file} has no column {', '.join(lost)}: give the files of facebook/emu_edit_test_set"
        )
    number = 0
    for group in range(opened.num_row_groups):
        rows = _read_group(file, group, ("idx", *WORDS)).to_pylist()
        for at, (row, image) in enumerate(zip(rows, _images(file, group), strict=True)):
            yield partial(_image, file, group, at), row | {"image": image}, f"{file}, row {number}"
            number += 1


def _check(row: Mapping[str, Any], where: str) -> str:
    """The name of a row's result."""
    if type(row["idx"]) is not int or row["idx"] < 0:
        raise ValueError(f"{where}: idx must be a number from 0, not {row['idx']!r}")
    for key in WORDS:
        check_text(row[key], f"{where}: {key}")
    check_choice(row["task"], TASKS, f"{where}: task")
    if not isinstance(row["image"], bytes):
        raise ValueError(f"{where}: image holds no bytes: the files must hold the images themselves")
    return f"{row['idx']}.png"


def _image(file: Path, group: int, at: int) -> bytes:
    return _images(file, group)[at]


@lru_cache(maxsize=2)
def _images(file: Path, group: int) -> list[bytes]:
    """The images of a group of rows, as files; the last groups are kept, since they are read in order."""
    column = _read_group(file, group, ("image",)).column("image").to_pylist()
    return [said.get("bytes") if isinstance(said, dict) else said for said in column]


def _read_group(file: Path, group: int, columns: tuple[str, ...]) -> Any:
    try:
        return _open(file).read_row_group(group, columns=list(columns))
    except OSError as error:
        raise ValueError(f"{file} is damaged ({error}): fetch it again") from error


def _open(file: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise ValueError("Emu Edit's parquet files need pyarrow: pip install -e '.[data]'") from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no parquet file ({error}): fetch it again") from error
