"""The split that a file's name or its folder says, as hubs and published sets name them."""

from pathlib import Path

import pytest

from datamodules.published_formats.files import split_of
from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.published_formats.arrow_tables import PAIRS, WORDS, parquet


@pytest.mark.parametrize(
    "name, split",
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("name-train-00000-of-00003.arrow", "train"),
        ("data/train_sft-00000-of-00001.parquet", "train"),
        ("default/partial-train/0000.parquet", "train"),
        ("train2017/000000000009.jpg", "train"),
        ("val2014/COCO_val2014_000000000042.jpg", "validation"),
        ("data/validation_matched-00000-of-00001.parquet", "validation"),
        ("dev/edit_turns.json", "validation"),
        ("data/testmini-00000-of-00001.parquet", "test"),
        ("data/testA-00000-of-00001.parquet", "test"),
        ("Test/metadata.csv", "test"),
        ("minival.parquet", "validation"),
        ("data/part-00000.parquet", None),
        ("value.parquet", None),
        ("latest/0000.parquet", None),
        ("tests/0000.parquet", None),
        ("trains/trained.parquet", None),
        ("photos/test.jpg", None),
        ("photos/COCO_val2014_000000000042.jpg", None),
    ],
)
def test_splits_by_name(name, split):
    assert split_of(Path(name)) == split


arrow = pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    "train, test",
    [
        ("data/train-00000-of-00001-0a1b.parquet", "data/test-00000-of-00001-2c3d.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
        ("train.parquet", "val.parquet"),
        ("data/train_sft-00000-of-00001.parquet", "data/test_sft-00000-of-00001.parquet"),
        ("default/partial-train/0000.parquet", "default/partial-test/0000.parquet"),
    ],
)
def test_of_a_hubs_folder_the_training_split_is_taken(tmp_path, train, test):
    parquet(tmp_path / "in" / train, PAIRS[:4])
    parquet(tmp_path / "in" / test, PAIRS[4:])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS[:4] and sum(skipped(tmp_path / "out").values()) == 1


def test_a_folder_without_a_training_split_is_refused_with_those_there_are(tmp_path, capsys):
    parquet(tmp_path / "in/data/test-00000-of-00001.parquet", PAIRS)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "has no split train: its splits are test; choose one with --split" in capsys.readouterr().err
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out", "--split", "test") == 0


def test_linked_tables_and_folders_are_followed(tmp_path):
    parquet(tmp_path / "disk/train.parquet", PAIRS)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/data").symlink_to(tmp_path / "disk")
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS
