"""Tables: columns of every kind, saved data sets, pieces; a damaged one is named."""

import pytest

from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.published_formats.arrow_tables import PAIRS, WORDS, parquet, saved, stream
from tests.datamodules.tars import png

arrow = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("kind", ["binary_view", "large_binary", "fixed", "dictionary"])
def test_every_kind_of_column_that_holds_bytes_is_read(tmp_path, kind):
    import pyarrow.ipc

    content = png(3)
    kinds = {"binary_view": arrow.binary_view(), "large_binary": arrow.large_binary()}
    images = arrow.array([content] * 2, kinds.get(kind, arrow.binary()))
    images = arrow.array([content] * 2, arrow.binary(len(content))) if kind == "fixed" else images
    images = images.dictionary_encode() if kind == "dictionary" else images
    text = arrow.array(["a", "b"], arrow.string_view() if kind == "binary_view" else arrow.large_string())
    table = arrow.table({"image": images, "text": text})
    (tmp_path / "in").mkdir()
    with pyarrow.ipc.new_stream(tmp_path / "in/data.arrow", table.schema) as file:
        file.write_table(table)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["a", "b"]


def test_a_table_that_ends_in_its_middle_is_named(tmp_path, capsys):
    stream(tmp_path / "in/data.arrow", PAIRS)
    content = (tmp_path / "in/data.arrow").read_bytes()
    (tmp_path / "in/data.arrow").write_bytes(content[: len(content) * 2 // 3])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "data.arrow cannot be read" in capsys.readouterr().err


def test_of_a_saved_data_set_its_own_files_are_read_and_no_caches(tmp_path):
    for number in range(2):
        stream(tmp_path / f"in/data-0000{number}-of-00002.arrow", PAIRS[number * 3 : number * 3 + 3])
    stream(tmp_path / "in/cache-0123456789abcdef.arrow", [{**row, "text": "CACHED"} for row in PAIRS])
    saved(tmp_path / "in", [f"data-0000{number}-of-00002.arrow" for number in range(2)])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS
    assert skipped(tmp_path / "out") == {"a table that state.json does not name is left out": 1}


def test_of_a_folder_of_arrow_files_caches_are_left_out(tmp_path):
    stream(tmp_path / "in/x-train.arrow", PAIRS, "new_file")
    stream(tmp_path / "in/x-test.arrow", PAIRS)
    stream(tmp_path / "in/cache-0123456789abcdef.arrow", PAIRS)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS
    assert skipped(tmp_path / "out") == {
        "what map or filter has left is no data, left out": 1,
        "the split test is left out (--split test takes it)": 1,
    }


@pytest.mark.parametrize(
    "state, error",
    [
        ({"_indices_data_files": [{"filename": "indices.arrow"}]}, "flatten_indices"),
        ({"_data_files": []}, "names no files"),
        ({"_data_files": [{"filename": "../data.arrow"}]}, "names no files that lie beside it"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow is not there"),
    ],
)
def test_a_saved_data_set_that_is_not_whole_is_refused(tmp_path, state, error, capsys):
    stream(tmp_path / "in/data.arrow", PAIRS)
    saved(tmp_path / "in", ["data.arrow"], **state)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert error in capsys.readouterr().err


def test_small_row_groups_are_joined_to_shards_of_the_size_asked_for(tmp_path):
    parquet(tmp_path / "in.parquet", PAIRS, row_group_size=1)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--samples-per-shard", 4) == 0
    assert captions(tmp_path / "out") == WORDS and len(list((tmp_path / "out").glob("*.tar"))) == 2


def test_a_table_that_is_damaged_within_is_counted(tmp_path):
    parquet(tmp_path / "a.parquet", PAIRS, compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[20:120] = b"\xff" * 100
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.parquet").write_bytes(content)
    parquet(tmp_path / "in/b.parquet", PAIRS)
    code = run("parquet", tmp_path / "in", "--out", tmp_path / "out")
    assert code in (0, 2)
    if code == 0:
        assert skipped(tmp_path / "out") and captions(tmp_path / "out")[-6:] == WORDS
