"""JSON that a full disk or somebody else left is one line that names the file, and never a traceback."""

import json
from pathlib import Path

import pytest

import demo
from common.json_files import read_json, read_object
from datamodules.tokenize import tokenize
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings

BROKEN = {
    "empty": (b"", "is empty: whatever wrote it was cut off"),
    "cut": (b'{"a": 1', "is no JSON that is read"),
    "deep": (b"[" * 1_000_000, "is no JSON that is read: too deep"),
    "deeper than any config": (b"[" * 200 + b"]" * 200, "more than 64 lists and objects"),
    "not a number": (b'{"a": NaN}', "NaN is no number of JSON's"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON that is read"),
    "latin-1": ('{"a": "\xe9"}'.encode("latin-1"), "not UTF-8"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
    "large": (b" " * (2**20 + 1), "at most 1,048,576 are read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_json_file_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    content, told = BROKEN[kind]
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_json(path, most=2**20)
    line = str(raised.value)
    assert str(path) in line and told in line and "\n" not in line


def test_infinite_numbers_are_read_where_they_may_be(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"a": NaN, "b": -Infinity}')
    assert read_object(tmp_path / "report.json", infinite=True)["b"] == -float("inf")
    (tmp_path / "report.json").write_bytes("\ufeff{}".encode())
    assert read_object(tmp_path / "report.json") == {}


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_what_a_full_disk_left_of_small_files_is_named(tmp_path: Path, content: str) -> None:
    """plan.json, made_ahead.json, timings.json and their like: once "Expecting value" for ever."""
    for name in ("plan.json", "made_ahead.json", "timings.json"):
        (tmp_path / name).write_text(content)
    one = Round(tmp_path, RoundSettings(("nowhere",)))
    readers = {
        "plan.json": lambda: one.make_plan("model", "judge", Prompts()),
        "made_ahead.json": lambda: tokenize(Stamped(), [], tmp_path),
        "timings.json": lambda: demo.Timings(tmp_path / "timings.json"),
    }
    for name, read in readers.items():
        with pytest.raises(ValueError, match=name):
            read()


class Stamped:
    """As much of a model as `tokenize` asks before it reads a note."""

    def stamp(self, *parts: str) -> str:
        return json.dumps(parts)


class Prompts:
    """As much of a model's prompts as a plan asks for."""

    def to_dict(self) -> dict[str, str]:
        return {}
