"""The doctor finds each broken thing once, says where and why, writes an index, and shows what is odd."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from datamodules import doctor
from datamodules.places import declared
from playground import shards
from tests.datamodules.tars import png, write_samples


def picture(size, mode="RGB", kind="png"):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    good = {f"{i}": {"png": png(i), "txt": f"number {i}".encode()} for i in range(5)}
    odd = {
        "thin": {"png": picture((200, 40)), "txt": b"a strip"},
        "cmyk": {"jpg": picture((64, 64), "CMYK", "jpeg"), "txt": b"ink"},
        "bare": {"txt": b"words alone"},
    }
    broken = {
        "cut": {"png": png()[:60], "txt": b"cut"},
        "mute": {"png": png()},
        "story": {"json": b'{"parts": [{"see": "9.png"}]}'},
    }
    whole = write_samples(tmp_path / "set/0.tar", good | odd | broken)
    write_samples(tmp_path / "set/1.tar", good)
    (tmp_path / "set/2.tar").write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "set/3.tar").write_bytes(b"")
    return tmp_path / "set"


def test_it_finds_what_is_broken(folder, tmp_path, capsys):
    code = doctor.main([str(folder), "--report", str(tmp_path / "report"), "--thumbnails", "--workers", "2"])
    found = json.loads((tmp_path / "report/doctor.json").read_text())
    assert code == 1 and found["shards"] == 4
    assert [(Path(f["shard"]).name, f["key"], f["reason"].partition(":")[0]) for f in found["faults"]] == [
        ("0.tar", "cut", "not a readable image"),
        ("0.tar", "mute", "a sample has no words"),
        ("0.tar", "story", "a document names an image that is not in its sample"),
        ("2.tar", "", "the shard is cut short or damaged"),
        ("3.tar", "", "the shard is an empty file"),
    ]
    assert {o["key"]: o["why"] for o in found["odd"]} == {
        "thin": "200 x 40, a narrow strip",
        "cmyk": "mode CMYK",
        "bare": "no image, where most samples have one",
    }
    told = capsys.readouterr().out
    assert f"{folder / '0.tar'} cut: not a readable image" in told and "whole" in told.splitlines()[-1]
    page = (tmp_path / "report/doctor.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 and "not a readable image" in page


def test_its_index_tells_later_what_is_missing(folder):
    doctor.main([str(folder), "--workers", "1"])
    index = json.loads((folder / "index.json").read_text())
    assert index["shards"]["0.tar"]["samples"] == 11 and index["shards"]["0.tar"]["good"] == 8
    assert len(index["shards"]["1.tar"]["sha256"]) == 64 and declared(str(folder / "1.tar")) == 5
    write_samples(folder / "1.tar", {"0": {"png": png(), "txt": b"alone"}})
    faults = doctor.examine(str(folder / "1.tar")).faults
    assert [fault.reason for fault in faults] == [
        "the shard holds fewer samples than its index.json says: 1 of 5"
    ]


def test_a_clean_set_is_clean_and_keeps_its_own_index(tmp_path, capsys):
    shards.main(
        [
            "--out",
            str(tmp_path),
            "--scale",
            "0.0005",
            "--workers",
            "1",
            "--only",
            "pairs,questions,stories,text",
        ]
    )
    before = (tmp_path / "pairs/index.json").read_text()
    folders = [str(tmp_path / name) for name in ("pairs", "questions", "stories", "text")]
    assert doctor.main([*folders, "--workers", "1"]) == 0
    assert (tmp_path / "pairs/index.json").read_text() == before
    assert "62 of 62 samples in 4 shards are whole" in capsys.readouterr().out


def test_nothing_to_examine_is_one_line(tmp_path, capsys):
    assert doctor.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("doctor: no shards at")
