"""The split that a file's name or its folder says, as hubs and published sets name them."""

from pathlib import Path

import pytest

from datamodules.published_formats.files import split_of


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
