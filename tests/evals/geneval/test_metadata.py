"""Prompt files are parsed, and what is wrong in one is reported with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.geneval.metadata import Requirement, read_prompts

BESIDE = {
    "tag": "position",
    "include": [
        {"class": "tv remote", "count": 1},
        {"class": "cow", "count": 2, "color": "blue", "position": ["left of", 0]},
    ],
    "exclude": [{"class": "cow", "count": 3}],
    "prompt": "two blue cows left of a tv remote",
}


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


def test_a_line_has_requirements(tmp_path: Path) -> None:
    first, second = read_prompts(write(tmp_path, BESIDE, BESIDE | {"exclude": []}))
    assert first.text == "two blue cows left of a tv remote" and first.tag == "position"
    assert first.include == (Requirement("tv remote", 1), Requirement("cow", 2, "blue", "left of", 0))
    assert first.exclude == (Requirement("cow", 3),) and second.exclude == ()
    assert first.classes == {"tv remote", "cow"} and json.loads(first.line) == BESIDE


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"tag": "colors"', "no JSON"),
        ("", "no JSON"),
        ("[1]", "[1]"),
        (BESIDE | {"tag": "colours"}, "did you mean colors?"),
        (BESIDE | {"prompt": " "}, "prompt"),
        (BESIDE | {"include": []}, "any image would be right"),
        (BESIDE | {"include": {"class": "cow"}}, "list of objects"),
        (BESIDE | {"include": [{"class": "cows", "count": 1}]}, "did you mean cow?"),
        (BESIDE | {"include": [{"class": "mouse", "count": 1}]}, "'mouse' is not known"),
        (BESIDE | {"include": [{"class": "cow", "count": 0}]}, "whole number from 1"),
        (BESIDE | {"include": [{"class": "cow", "count": True}]}, "whole number from 1"),
        (BESIDE | {"include": [{"class": "cow"}]}, "count"),
        (BESIDE | {"include": [{"class": "cow", "count": 1, "color": "cyan"}]}, "'cyan' is not known"),
        (BESIDE | {"include": [{"class": "cow", "count": 1, "colour": "red"}]}, "did you mean color?"),
        (BESIDE | {"include": [{"class": "cow", "count": 1, "position": ["left of", 0]}]}, "earlier one"),
        (BESIDE | {"include": [{"class": "cow", "count": 1, "position": "left of"}]}, "a relation and whose"),
        (BESIDE | {"exclude": [{"class": "cow", "count": 1, "color": "red"}]}, "color"),
        (BESIDE | {"exclude": [{"class": "unicorn", "count": 1}]}, "'unicorn' is not known"),
    ],
)
def test_errors_name_their_line(tmp_path: Path, line: Any, message: str) -> None:
    path = write(tmp_path, BESIDE, line, BESIDE)
    with pytest.raises(ValueError, match="prompts.jsonl:2: ") as error:
        read_prompts(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_relation_is_refused(tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(BESIDE).replace("left of", "inside"))
    with pytest.raises(ValueError, match="'inside' is not known"):
        read_prompts(write(tmp_path, wrong))


def test_missing_empty_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.jsonl"):
        read_prompts(tmp_path / "none.jsonl")
    for content, message in ((b"", "empty"), (b"\n", "empty"), (b"\xff\xfe{", "not UTF-16-LE")):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_prompts(tmp_path / "x")
