"""The doctor finds each broken thing once, says where and why, writes an index, and shows what is odd."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datamodules import doctor
from tests.datamodules.conversions import exit_code
from tests.datamodules.odd_shards import folder
from tests.datamodules.tars import png, write_samples
from worlds.playground import shards

__all__ = ["folder"]


def test_broken_samples_are_reported(folder, tmp_path, capsys):
    code = doctor.main([str(folder), "--report", str(tmp_path / "report"), "--thumbnails", "--workers", "2"])
    found = json.loads((tmp_path / "report/doctor.json").read_text())
    assert code == 1 and found["shards"] == 4
    assert [(Path(f["shard"]).name, f["key"], f["reason"].partition(":")[0]) for f in found["faults"]] == [
        ("0.tar", "cut", "not a readable image, cut short"),
        ("0.tar", "mute", "a sample has no text"),
        ("0.tar", "story", "a document names an image that is not in its sample"),
        ("2.tar", "", "the shard is cut short or damaged"),
        ("3.tar", "", "the shard is an empty file"),
    ]
    assert {o["key"]: o["why"] for o in found["unusual"]} == {
        "thin": "200 x 40, a narrow strip",
        "cmyk": "mode CMYK",
        "bare": "no image, where most samples have one",
    }
    printed = capsys.readouterr().out
    assert f"{folder / '0.tar'} cut: not a readable image" in printed and "whole" in printed.splitlines()[-1]
    page = (tmp_path / "report/doctor.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 and "not a readable image" in page


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
    assert exit_code(doctor.main, tmp_path / "nowhere") == 2
    assert capsys.readouterr().err.startswith("doctor: error: no shards at")


def talk(*turns):
    said = [{"from": who, "value": words} for who, words in turns]
    return json.dumps({"conversations": said}).encode()


def test_samples_that_training_would_skip_are_reported(tmp_path, capsys):
    """By the template that training uses: a tool's turn, a pair without its dense caption, a document of no answer."""
    asked = ("human", "<image> what is this ?")
    samples = {
        "good": {"png": png(1), "json": talk(("system", "be brief"), asked, ("gpt", "a circle"))},
        "tool": {"png": png(2), "json": talk(asked, ("gpt", "a call"), ("function_call", "{}"))},
        "mute": {"png": png(3), "json": talk(asked)},
    }
    write_samples(tmp_path / "talks/0.tar", samples)
    for options in ([], ["--template", "conversation"]):
        assert doctor.main([str(tmp_path / "talks"), "--workers", "1", "--no-index", *options]) == 1
        printed = capsys.readouterr().out
        assert "0.tar tool: a conversation has tool turns" in printed and "0.tar mute: " in printed
        assert "1 of 3 samples" in printed and "good: " not in printed
    assert "training with conversation would skip 2: 1 of them as a conversation has tool turns" in printed
    write_samples(tmp_path / "pairs/0.tar", {"a": {"png": png(1), "txt": b"words"}})
    assert doctor.main([str(tmp_path / "pairs"), "--workers", "1", "--no-index"]) == 0
    assert doctor.main([str(tmp_path / "pairs"), "--workers", "1", "--no-index", "--template", "detail"]) == 1
    assert "would skip 1: 1 of them as a sample has no dense.txt" in capsys.readouterr().out
    words = {"a": {"json": b'{"parts": [{"text": "given"}]}'}}
    write_samples(tmp_path / "words/0.tar", words)
    assert doctor.main([str(tmp_path / "words"), "--workers", "1", "--no-index"]) == 1
    assert "the document has nothing to learn" in capsys.readouterr().out
    assert exit_code(doctor.main, tmp_path / "words", "--template", "talks") == 2
    assert capsys.readouterr().err.startswith(
        "datamodules.doctor: error: argument --template: invalid choice: 'talks'"
    )


@pytest.mark.parametrize("kind", ["list", "other", "torn", "folder", "no file"])
def test_findings_are_reported_whatever_happens_to_the_index(folder, capsys, monkeypatch, kind):
    index = folder / "index.json"
    before = {"list": "[1, 2]", "other": '{"by": "wids", "shards": {}}', "torn": '{"by": "datamod'}.get(kind)
    if before is not None:
        index.write_text(before)
    if kind == "folder":
        index.mkdir()
    if kind == "no file":  # as on a disk that may not be written
        monkeypatch.setattr(
            doctor,
            "write_text",
            lambda path, text: (_ for _ in ()).throw(OSError(30, "Read-only file system")),
        )
    assert doctor.main([str(folder), "--workers", "1"]) == 1
    printed = capsys.readouterr()
    assert "0.tar cut: not a readable image" in printed.out and "14 of 18 samples" in printed.out
    lines = [line for line in printed.err.splitlines() if "index.json" in line and "doctor: " in line]
    assert (
        len(lines) == 1 and ("stays as it is" if kind in ("list", "other") else "was not written") in lines[0]
    )
    assert before is None or index.read_text() == before


def test_a_report_that_cannot_be_written_is_an_error(tmp_path, capsys, monkeypatch):
    write_samples(tmp_path / "set/0.tar", {"a": {"png": png(), "txt": b"words"}})
    (tmp_path / "file").write_text("no folder")
    assert exit_code(doctor.main, tmp_path / "set", "--report", tmp_path / "file/in") == 2
    assert "shards are whole" not in capsys.readouterr().out
    monkeypatch.setattr(
        doctor, "write_report", lambda *of: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    given = [str(tmp_path / "set"), "--workers", "1", "--report", str(tmp_path / "report")]
    assert doctor.main(given) == 2
    printed = capsys.readouterr()
    assert (
        "1 of 1 samples" in printed.out
        and "the report was not written: [Errno 28] No space left" in printed.err
    )


def test_hostile_names_are_escaped_in_the_terminal(tmp_path):
    """A title, a cleared screen, a forged line, letters that are no UTF-8; in a terminal that has only ASCII."""
    evil = "\x1b]0;owned\x07\x1b[2J\rdoctor: all whole\n"
    latin = "caf\udce9 红"
    folder = tmp_path / f"set{evil}"
    write_samples(folder / "0.tar", {name: {"png": png()[:40], "txt": b"x"} for name in (evil, latin)})
    command = [
        sys.executable,
        "-m",
        "datamodules.doctor",
        folder,
        "--workers",
        "1",
        "--report",
        tmp_path / "out",
    ]
    ran = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
    assert (
        ran.returncode == 1
        and b"\x1b" not in ran.stdout + ran.stderr
        and b"\x07" not in ran.stdout + ran.stderr
    )
    lines = ran.stdout.decode("ascii").splitlines()
    assert len(lines) == 3 and lines[-1] == "doctor: 0 of 2 samples in 1 shards are whole"
    found = json.loads((tmp_path / "out/doctor.json").read_text())
    assert [fault["key"] for fault in found["faults"]] == [evil, latin]
    assert "\x1b" not in (tmp_path / "out/doctor.html").read_text("utf-8")


def _killed(*of, **more):
    os.kill(os.getpid(), 9)


def test_a_killed_process_keeps_the_findings_so_far(folder, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "examine", _killed)
    assert doctor.main([str(folder), "--workers", "2"]) == 2
    printed = capsys.readouterr()
    assert (
        "a process was killed, perhaps for its memory, at" in printed.err and "0 of 0 samples" in printed.out
    )
