"""Tables: pairs, dialogues and edits by their columns; saved data sets as their state.json has them; one split."""

import pytest

from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.published_formats.arrow_tables import PAIRS, WORDS, image, parquet, saved, stream
from tests.datamodules.tars import png

arrow = pytest.importorskip("pyarrow")


def test_rows_marked_as_another_split_are_left_out(tmp_path):
    splits = ["train", "test", "val", "train[:10%]", None, "restval"]
    rows = [{**row, "split": split} for row, split in zip(PAIRS, splits, strict=True)]
    parquet(tmp_path / "in/0.parquet", rows)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == [WORDS[0], WORDS[3], WORDS[4], WORDS[5]]
    assert sum(skipped(tmp_path / "out").values()) == 2
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "all", "--split", "all") == 0
    assert captions(tmp_path / "all") == WORDS


@pytest.mark.parametrize("split, taken", [(None, "train"), ("test", "test"), ("all", "train test")])
def test_of_a_dataset_dict_one_split_is_taken(tmp_path, split, taken):
    for name in ("train", "test"):
        stream(tmp_path / f"in/{name}/data.arrow", [{**PAIRS[0], "text": name}])
        saved(tmp_path / f"in/{name}", ["data.arrow"], _split=name)
    (tmp_path / "in/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert (
        run("parquet", tmp_path / "in", "--out", tmp_path / "out", *(["--split", split] if split else []))
        == 0
    )
    assert captions(tmp_path / "out") == taken.split()
    left = {"train": "test", "test": "train"}.get(taken)
    assert skipped(tmp_path / "out") == (
        {f"the split {left} is left out (--split {left} takes it)": 1} if left else {}
    )


def test_of_a_dataset_dict_with_other_names_of_splits_no_test_is_taken(tmp_path):
    for name in ("testmini", "default"):
        stream(tmp_path / f"in/{name}/data.arrow", [{**PAIRS[0], "text": name}])
        saved(tmp_path / f"in/{name}", ["data.arrow"], _split=name)
    (tmp_path / "in/dataset_dict.json").write_text('{"splits": ["testmini", "default"]}')
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["default"]
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "test", "--split", "testmini") == 0
    assert captions(tmp_path / "test") == ["testmini"]


@pytest.mark.parametrize("key", ["image", "img", "jpg", "images", "webp"])
def test_images_as_bytes_as_objects_and_in_lists(tmp_path, key):
    value = {"jpg": png(3), "webp": png(3), "images": [image(3)]}.get(key, image(3))
    parquet(tmp_path / "in.parquet", [{key: value, "text": "one"}])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["one"]


def test_images_by_their_path_beside_the_table(tmp_path):
    (tmp_path / "a.png").write_bytes(png(3))
    rows = [
        {"image": {"bytes": None, "path": name}, "text": name} for name in ("a.png", "gone.png", "../a.png")
    ]
    parquet(tmp_path / "in.parquet", rows)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["a.png"]
    assert skipped(tmp_path / "out") == {
        "an image is missing": 1,
        "an image's path leads out of the folder": 1,
    }


def test_a_column_that_is_asked_for_and_not_there_is_refused(tmp_path, capsys):
    parquet(tmp_path / "in.parquet", PAIRS)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--caption", "captoin") == 2
    assert "has no column 'captoin': there is image, text" in capsys.readouterr().err


TURNS = [{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "a circle"}]


def test_tables_of_two_kinds_are_refused(tmp_path, capsys):
    parquet(tmp_path / "in/a.parquet", PAIRS)
    parquet(tmp_path / "in/b.parquet", [{"image": image(3), "conversations": TURNS}])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "convert each by itself" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no table", b"version https://git-lfs.github.com/spec/v1\n"])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_file_that_is_no_table_is_one_line(tmp_path, content, ending, capsys):
    (tmp_path / f"in.{ending}").write_bytes(content)
    assert run("parquet", tmp_path / f"in.{ending}", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"in.{ending}" in error and error.count("\n") == 1
