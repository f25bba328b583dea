"""JSON that a full disk or somebody else left is one line that names the file, and never a traceback."""

import json
from pathlib import Path

import pytest

import demo
from common.json_files import (
    append_json_line,
    parse_json_lines,
    parse_json_or_lines,
    read_json,
    read_json_lines,
    read_object,
    write_json_lines,
)
from datamodules.tokenize import tokenize
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings

BROKEN = {
    "empty": (b"", "is empty: whatever wrote it was cut off"),
    "cut": (b'{"a": 1', "not valid JSON"),
    "deep": (b"[" * 1_000_000, "not valid JSON: nested too deeply"),
    "deeper than any config": (b"[" * 200 + b"]" * 200, "more than 64 lists and objects"),
    "not a number": (b'{"a": NaN}', "NaN is not a JSON number"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "latin-1": ('{"a": "\xe9"}'.encode("latin-1"), "not UTF-8"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
    "large": (b" " * (2**20 + 1), "at most 1,048,576 are read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_json_file_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    content, printed = BROKEN[kind]
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_json(path, max_bytes=2**20)
    line = str(raised.value)
    assert str(path) in line and printed in line and "\n" not in line


def test_infinite_numbers_are_read_where_they_may_be(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"a": NaN, "b": -Infinity}')
    assert read_object(tmp_path / "report.json", allow_nan=True)["b"] == -float("inf")
    (tmp_path / "report.json").write_bytes("\ufeff{}".encode())
    assert read_object(tmp_path / "report.json") == {}


def test_line_separators_within_a_caption_end_no_line():
    rows = ["a\u2028b", "c\x85d", "e\x0bf\x0cg\x1ch", "i\u2029j"]
    for end in ("\n", "\r\n"):
        text = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end
        assert [value for _, value in parse_json_lines(text, "x")] == rows


def test_lines_of_json_are_known_by_what_they_hold():
    assert parse_json_or_lines('[{"a": 1}]', "x") == ([{"a": 1}], None)
    assert parse_json_or_lines('{"a": 1}\n\n{"a": 2}\n', "x") == (None, [(1, {"a": 1}), (3, {"a": 2})])
    assert parse_json_or_lines('{\n "a": 1\n}', "x") == ({"a": 1}, None)


@pytest.mark.parametrize(
    "text, where",
    [
        ('{"a": 1}\n{"a": \n', "x.jsonl, line 2: not valid JSON"),
        ("[\n1,\n2,,\n]", "x.jsonl, line 3: not valid JSON"),
        ("", "x.jsonl, line 1: not valid JSON"),
        ("[" * 100_000, "x.jsonl: not valid JSON"),
    ],
)
def test_what_is_not_json_is_refused_with_file_and_line(text, where):
    with pytest.raises(ValueError, match=f"^{where}"):
        parse_json_or_lines(text, "x.jsonl")


def test_lines_are_appended_and_damaged_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    assert read_json_lines(path) == []
    write_json_lines(path, [{"a": 1}])
    append_json_line(path, {"a": 2})
    with path.open("a") as file:
        file.write('[3]\n{"a": 4}')  # not an object, and a line that was cut off
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}, None, None]


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_what_a_full_disk_left_of_small_files_is_named(tmp_path: Path, content: str) -> None:
    """round.json, precomputed.json, timings.json and their like: once "Expecting value" for ever."""
    for name in ("round.json", "precomputed.json", "timings.json"):
        (tmp_path / name).write_text(content)
    one = Round(tmp_path, RoundSettings(("nowhere",)))
    readers = {
        "round.json": lambda: one.start("model", "judge", Prompts()),
        "precomputed.json": lambda: tokenize(Fingerprints(), [], tmp_path),
        "timings.json": lambda: demo.Timings(tmp_path / "timings.json"),
    }
    for name, read in readers.items():
        with pytest.raises(ValueError, match=name):
            read()


class Fingerprints:
    """As much of a model as `tokenize` asks before it reads a note."""

    def fingerprint(self, *parts: str) -> str:
        return json.dumps(parts)


class Prompts:
    """As much of a model's prompts as a plan asks for."""

    def to_dict(self) -> dict[str, str]:
        return {}
