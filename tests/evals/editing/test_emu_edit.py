"""Emu Edit's parquet files are read as published, and whatever is wrong in them is one line that says where."""

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from evals.editing.emu_edit import read_emu_edit
from tests.evals.editing.tiny_sets import EDITS, picture, png, save_emu_edit


@pytest.mark.parametrize("group", [1, 2, 3])
def test_rows_are_edits(tmp_path: Path, group: int) -> None:
    benchmark = read_emu_edit(save_emu_edit(tmp_path, group=group), "test", None)
    assert [edit.name for edit in benchmark.edits] == ["7.png", "3.png", "9.png"]
    assert [edit.instruction for edit in benchmark.edits] == [row["instruction"] for row in EDITS]
    assert [edit.before() for edit in reversed(benchmark.edits)] == [png(picture(i)) for i in (2, 1, 1)]
    (ones,) = benchmark.comparisons.values()
    assert [one.task for one in ones] == ["add", "color", "add"]
    assert ones[0].before() == ones[0].reference() == png(picture(1))  # what is kept is measured against it
    assert (ones[1].caption_before, ones[1].caption_after) == ("a cat", "a red cat")
    assert ones[0].cluster == ones[1].cluster != ones[2].cluster  # edits of one image belong together


def test_a_limit_takes_the_first_rows(tmp_path: Path) -> None:
    benchmark = read_emu_edit(save_emu_edit(tmp_path), "test", 2)
    assert benchmark.wanted == {"7.png", "3.png"} and len(benchmark.edits) == 3
    assert [one.name for one in benchmark.comparisons["emu_edit"]] == ["7.png", "3.png"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task": "colour"}, r"row 1: task 'colour' is not known: did you mean color\?"),
        ({"task": "weather"}, "row 1: task 'weather' is not known: there is add, background"),
        ({"idx": 7}, "row 1: idx 7 is there twice"),
        ({"idx": -1}, "row 1: idx must be a number from 0, not -1"),
        ({"instruction": " "}, "row 1: instruction is empty"),
        ({"output_caption": None}, "row 1: output_caption must be text, not None"),
        ({"image": {"bytes": None, "path": "x.png"}}, "row 1: image holds no bytes"),
    ],
)
def test_invalid_rows_are_refused(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_emu_edit(save_emu_edit(tmp_path, [EDITS[0], EDITS[1] | row]), "test", None)


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no validation-\*.parquet: give --data"):
        read_emu_edit(save_emu_edit(tmp_path / "set"), "validation", None)
    parquet.write_table(pyarrow.table({"idx": [1]}), tmp_path / "test-1.parquet")
    with pytest.raises(ValueError, match=r"test-1.parquet has no column image, input_caption"):
        read_emu_edit(tmp_path, "test", None)
    (tmp_path / "test-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="is no parquet file"):
        read_emu_edit(tmp_path, "test", None)
