"""img2dataset's shards: every ending of an image, captions in txt or json, in any marked encoding."""

import json

import pytest

from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.tars import png, write_samples


def test_images_of_any_ending_and_captions_of_any_marked_encoding(tmp_path):
    samples = {
        "a": {"webp": png(1), "txt": "one".encode("utf-8-sig")},
        "b": {"gif": png(2), "txt": "two".encode("utf-16")},
        "c": {"jfif": png(3), "json": json.dumps({"caption": "three", "url": "x"}).encode()},
        "d": {"jpg": png(4), "txt": "café".encode("cp1252")},
        "e": {"jpg": png(5), "png": png(6), "txt": b"two images"},
        "f": {"jpg": png(7), "json": b"{}"},
    }
    write_samples(tmp_path / "in/00000.tar", samples)
    assert run("img2dataset", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["one", "two", "three"]
    assert skipped(tmp_path / "out") == {
        "a text is not UTF-8": 1,
        "a sample has several images": 1,
        "a sample has no caption": 1,
    }


def test_a_caption_of_the_json_may_be_asked_for(tmp_path):
    about = json.dumps({"caption": "short", "llava_caption": "long"}).encode()
    write_samples(tmp_path / "in/00000.tar", {"a": {"jpg": png(1), "txt": b"short", "json": about}})
    assert run("img2dataset", tmp_path / "in", "--out", tmp_path / "out", "--caption", "llava_caption") == 0
    assert captions(tmp_path / "out") == ["long"]


@pytest.mark.parametrize("option", ["--images", "--split"])
def test_options_without_a_meaning_are_refused(tmp_path, option, capsys):
    write_samples(tmp_path / "in/00000.tar", {"a": {"jpg": png(1), "txt": b"one"}})
    assert run("img2dataset", tmp_path / "in", "--out", tmp_path / "out", option, tmp_path) == 2
    assert f"{option} has no meaning for" in capsys.readouterr().err


def test_shards_that_are_written_within_the_source_are_not_read_again(tmp_path):
    write_samples(tmp_path / "in/00000.tar", {"a": {"jpg": png(1), "txt": b"one"}})
    for _ in range(2):
        assert run("img2dataset", tmp_path / "in", "--out", tmp_path / "in/out") == 0
    assert captions(tmp_path / "in/out") == ["one"]
