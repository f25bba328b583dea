"""Folders of images: captions beside them or in one file, whatever wrote it; what is left out is counted by name."""

import io
import json

import pytest
from PIL import Image

from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.published_formats.captioned_images import ROWS, WORDS, lines, source
from tests.datamodules.tars import png

__all__ = ["source"]


COCO = {
    "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
    "annotations": [{"id": 9 - i, "image_id": i, "caption": WORDS[i]} for i in range(3)],
}


def test_captions_in_a_parquet_file(source):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow.Table.from_pylist(ROWS), source / "metadata.parquet")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS


def test_a_list_of_captions_elsewhere_uses_images(source, tmp_path):
    (tmp_path / "captions_train2017.json").write_text(json.dumps(COCO))
    out = tmp_path / "out"
    assert run("folder", tmp_path / "captions_train2017.json", "--images", source, "--out", out) == 0
    assert captions(out) == WORDS


def test_each_of_several_captions_is_a_sample(source):
    rows = [
        {**ROWS[0], "text": ["one", "two", " "]},
        {**ROWS[1], "text": [{"raw": "three"}]},
        {**ROWS[2], "text": []},
    ]
    (source / "metadata.jsonl").write_text(lines(rows))
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["one", "two", "three"]
    assert skipped(source.parent / "out") == {"a caption is empty": 2}


def test_two_lists_of_captions_are_refused(source, capsys):
    (source / "metadata.jsonl").write_text(lines(ROWS))
    (source / "captions.json").write_text(json.dumps(ROWS))
    assert run("folder", source, "--out", source.parent / "out") == 2
    assert "lists captions in captions.json and in metadata.jsonl: name one" in capsys.readouterr().err


def test_unmatched_rows_and_images_are_counted(source):
    rows = [
        ROWS[0],
        {"file_name": "gone.png", "text": "x"},
        {"text": "x"},
        7,
        {"file_name": "1.png", "text": None},
    ]
    rows += [{"file_name": "../source/0.png", "text": "x"}, {"file_name": "/etc/passwd", "text": "x"}]
    rows += [{"file_name": "https://a/b.png", "text": "x"}]
    (source / "metadata.jsonl").write_text(lines(rows))
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS[:1]
    assert skipped(source.parent / "out") == {
        "an image's path leads out of the folder": 2,
        "an image is missing": 1,
        "a row has no image": 1,
        "a row is no object": 1,
        "a caption is empty": 1,
        "an image is a URL, and is to be fetched first, as by img2dataset": 1,
        "no row names an image": 1,
    }


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "<NA>", "n/a"])
def test_placeholders_of_missing_captions_are_counted(source, word):
    (source / "metadata.csv").write_text(f"file_name,text\n0.png,{word}\n1.png,none of them\n2.png,b\n")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["none of them", "b"]
    assert skipped(source.parent / "out") == {"a caption is what stands for a missing value": 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_captions_beside_images_in_any_marked_encoding(source, encoding):
    for i in range(3):
        (source / f"{i}.txt").write_text(WORDS[i], encoding=encoding)
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS


def test_captions_of_other_encodings_are_counted_with_file_and_line(source, capsys):
    for i in range(3):
        (source / f"{i}.txt").write_text(f"one\na café {i}", encoding="cp1252")
    assert run("folder", source, "--out", source.parent / "out") == 2
    said = capsys.readouterr()
    assert (
        "skipped 3: a caption cannot be read" in said.out
        and "1.txt, line 2: not UTF-8 (byte 0xe9)" in said.out
    )
    assert "not one sample" in said.err and not list((source.parent / "out").glob("*.tar"))


def encoded(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def test_every_ending_of_an_image_is_read(source):
    kinds = {
        "a.jpg": "jpeg",
        "b.JPEG": "jpeg",
        "c.jfif": "jpeg",
        "d.gif": "gif",
        "e.bmp": "bmp",
        "f.tif": "tiff",
    }
    kinds |= {"g.avif": "avif", "h.WebP": "webp", "i.jpe": "jpeg", "j.jp2": "jpeg2000", "k.ppm": "ppm"}
    for i in range(3):
        (source / f"{i}.png").unlink()
    for name, kind in kinds.items():
        (source / name).write_bytes(encoded(kind))
        (source / name).with_suffix(".txt").write_text(name)
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == sorted(kinds)


def test_files_that_are_no_images_are_counted_by_ending(source):
    for i in range(3):
        (source / f"{i}.caption").write_text(WORDS[i])
    for name in ("clip.mp4", "clip.txt", "photo.heic", ".DS_Store", "README"):
        (source / name).write_bytes(b"x")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS
    assert skipped(source.parent / "out") == {
        "a file that ends in .mp4 is not read": 1,
        "a file that ends in .heic is not read": 1,
        "a file that ends in nothing is not read": 1,
        "a hidden file or folder is left out": 1,
        "a text has no image beside it": 1,
    }


def test_linked_folders_and_files_are_followed(source, tmp_path):
    for i in range(3):
        (source / f"{i}.txt").write_text(WORDS[i])
    project = tmp_path / "project"
    (project / "files").mkdir(parents=True)
    (project / "linked").symlink_to(source)
    for path in source.iterdir():
        (project / "files" / path.name).symlink_to(path)
    assert run("folder", project, "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS * 2


def test_links_in_circles_end_and_links_that_lead_nowhere_are_counted(source):
    (source / "0.txt").write_text("zero")
    (source / "again").symlink_to(source)
    (source / "sub").mkdir()
    (source / "sub/up").symlink_to("..")
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "gone.txt").write_text("x")
    (source / "itself.png").symlink_to("itself.png")
    (source / "itself.txt").write_text("x")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["zero"]
    assert skipped(source.parent / "out") == {
        "a linked folder leads back to one that holds it": 2,
        "an image is missing": 2,
        "an image has no caption beside it": 2,
    }


def test_a_pipe_or_a_folder_named_as_an_image_is_counted(source):
    import os

    os.mkfifo(source / "pipe.png")
    (source / "metadata.jsonl").write_text(
        lines([ROWS[0], {"file_name": "pipe.png", "text": "x"}, {"file_name": ".", "text": "x"}])
    )
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert skipped(source.parent / "out")["an image is no plain file"] == 2


def test_of_a_folder_with_splits_train_is_taken(source, tmp_path, capsys):
    for split in ("train", "test"):
        (source / split).mkdir()
        (source / split / "0.png").write_bytes(png(9))
        (source / split / "metadata.jsonl").write_text(lines([{"file_name": "0.png", "text": split}]))
    assert run("folder", source, "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["train"]
    assert "skipped 1: the split test is left out (--split test takes it)" in capsys.readouterr().out
    assert run("folder", source, "--out", tmp_path / "test", "--split", "test") == 0
    assert captions(tmp_path / "test") == ["test"]
    assert run("folder", source, "--out", tmp_path / "all", "--split", "all") == 0
    assert captions(tmp_path / "all") == ["test", "train"]
    assert run("folder", source, "--out", tmp_path / "no", "--split", "validation") == 2


def test_an_image_that_is_named_as_a_split_is_an_image(source):
    (source / "COCO_val2014_1.png").write_bytes(png(1))
    (source / "COCO_val2014_1.txt").write_text("a dog")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["a dog"]
