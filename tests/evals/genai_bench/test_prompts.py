"""GenAI-Bench's two files are read as published, and whatever is wrong in them is one line that says where."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.genai_bench.prompts import PROMPTS, SKILLS, read_prompts


def entry(number: str, text: str) -> dict[str, Any]:
    """As published: with the ratings of six models by people."""
    return {
        "id": number,
        "prompt": text,
        "prompt in Chinese": "",
        "models": {"DALLE_3": [5, 5, 5], "SDXL_Base": [3, 4, 3]},
    }


def save_prompts(folder: Path, texts: dict[str, Any], skills: Any) -> Path:
    folder.mkdir(exist_ok=True)
    said = {number: entry(number, text) if isinstance(text, str) else text for number, text in texts.items()}
    (folder / PROMPTS).write_text(json.dumps(said))
    (folder / SKILLS).write_text(json.dumps(skills))
    return folder


TEXTS = {"00000": "a red cow", "00001": "two cats", "00002": "a dog"}
TAGS = {"attribute": [0], "basic": [0], "counting": [1], "advanced": [1], "spatial relation": [0, 1]}


def test_prompts_have_their_skills(tmp_path: Path) -> None:
    prompts = read_prompts(save_prompts(tmp_path, TEXTS, TAGS))
    assert [(prompt.number, prompt.text) for prompt in prompts] == list(TEXTS.items())
    assert prompts[0].tags == {"attribute", "basic", "spatial relation"}
    assert prompts[1].tags == {"counting", "advanced", "spatial relation"} and not prompts[2].tags


@pytest.mark.parametrize(
    ("texts", "skills", "message"),
    [
        (TEXTS, TAGS | {"colour": [0]}, "skill 'colour' is not known: there is action relation, advanced"),
        (TEXTS, {"countng": [0]}, "skill 'countng' is not known: did you mean counting"),
        (TEXTS, {"basic": [3]}, "basic names prompt 00003, which genai_image.json has not"),
        (TEXTS, {"basic": [-1]}, "basic names prompt -0001"),
        (TEXTS, {"basic": "0"}, "basic must be a list of prompts' numbers"),
        (TEXTS, {"basic": [True]}, "basic must be a list of prompts' numbers"),
        (TEXTS, {}, "genai_skills.json must hold a JSON object that is not empty"),
        (TEXTS, ["basic"], "genai_skills.json must hold a JSON object"),
        ({}, TAGS, "genai_image.json must hold a JSON object that is not empty"),
        ({"1": "x"}, TAGS, "genai_image.json: 1: a prompt's number has five digits"),
        ({"../..": "x"}, TAGS, "a prompt's number has five digits"),
        ({"00000": {"prompt": " "}}, TAGS, "00000: prompt is empty"),
        ({"00000": ["x"]}, TAGS, "00000: prompt must be text, not None"),
    ],
)  # fmt: skip
def test_invalid_files_are_refused(tmp_path: Path, texts: Any, skills: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_prompts(save_prompts(tmp_path, texts, skills))


def test_missing_files_and_files_without_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"genai_image.json is not there: give --prompts a folder with"
    ):
        read_prompts(tmp_path)
    save_prompts(tmp_path, TEXTS, TAGS)
    (tmp_path / SKILLS).write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=r"genai_skills.json, line 1: not UTF-8"):
        read_prompts(tmp_path)
