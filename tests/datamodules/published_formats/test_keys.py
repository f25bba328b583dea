"""Keys of rows and columns of tables, by the names of published sets."""

import pytest

from tests.datamodules.conversions import captions, run
from tests.datamodules.published_formats.arrow_tables import image, parquet
from tests.datamodules.published_formats.captioned_images import ROWS, WORDS, lines, source, table

__all__ = ["source"]

arrow = pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    "column, value, wanted",
    [
        ("caption", "one", ["one"]),
        ("TEXT", "one", ["one"]),
        ("captions", ["one", "two"], ["one", "two"]),
        ("texts", ["one", "two"], ["one", "two"]),
        ("sentences", [{"raw": "one", "sentid": 1}], ["one"]),
        ("sentence", {"raw": "one", "tokens": ["one"]}, ["one"]),
        ("llava_caption", "one", ["one"]),
        ("caption_0", "one", ["one"]),
    ],
)
def test_columns_of_common_sets(tmp_path, column, value, wanted):
    row = {"image_id": 7, "image": image(3), column: value, "caption_score": 0.5, "label": 4, "url": "x"}
    parquet(tmp_path / "in.parquet", [row])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == wanted


def test_captions_in_several_columns_are_refused_until_one_is_chosen(tmp_path, capsys):
    parquet(tmp_path / "in.parquet", [{"image": image(3), "caption_0": "one", "blip_caption": "two"}])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "has captions in caption_0 and blip_caption: choose with --caption caption_0" in error
    assert error.count("\n") == 1
    assert (
        run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--caption", "blip_caption") == 0
    )
    assert captions(tmp_path / "out") == ["two"]


@pytest.mark.parametrize(
    "row, error",
    [
        ({"image": image(3), "label": 1}, "no known column of captions among image, label"),
        ({"text": "one"}, "no known column of images: there is text"),
        ({"image": [1, 2], "text": "one"}, "not one sample"),
    ],
)
def test_columns_that_are_not_known_are_named(tmp_path, row, error, capsys):
    parquet(tmp_path / "in.parquet", [row])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    "key", ["caption", "TEXT", "captions", "blip_caption", "caption_0", "prompt", "alt_text"]
)
def test_captions_under_the_keys_of_common_sets(source, key):
    rows = [
        {"file_name": row["file_name"], key: row["text"], "caption_score": "0.9", "url": "x"} for row in ROWS
    ]
    (source / "metadata.jsonl").write_text(lines(rows))
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS


def test_captions_under_several_keys_are_refused_until_one_is_chosen(source, capsys):
    (source / "metadata.jsonl").write_text(lines([{**row, "blip_caption": "x"} for row in ROWS]))
    out = source.parent / "out"
    assert run("folder", source, "--out", out) == 2
    error = capsys.readouterr().err
    assert "metadata.jsonl, line 1 has captions in text and blip_caption: choose with --caption text" in error
    assert error.count("\n") == 1 and not out.exists()
    assert run("folder", source, "--out", out, "--caption", "blip_caption") == 0
    assert captions(out) == ["x"] * 3


def test_captions_under_no_known_key_are_refused_with_the_keys_there_are(source, capsys):
    (source / "metadata.csv").write_text(table([{"file_name": "0.png", "label": "dog"}]))
    assert run("folder", source, "--out", source.parent / "out") == 2
    assert (
        "no key of captions that is known, among file_name, label: choose with --caption"
        in capsys.readouterr().err
    )
