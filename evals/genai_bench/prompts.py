"""GenAI-Bench's prompts and skills in their published layout: `genai_image.json` and `genai_skills.json` of one folder.

The first holds the prompts by a number of five digits, the second the numbers of each skill's prompts. The authors'
folder of 1,600 prompts is BaiqiL/GenAI-Bench-1600 on the hub; that of 527 has the same layout.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.checks import check_choice, check_text
from common.json_files import read_object

PROMPTS, SKILLS = "genai_image.json", "genai_skills.json"
BASIC = ("attribute", "scene", "spatial relation", "action relation", "part relation")
ADVANCED = ("counting", "comparison", "differentiation", "negation", "universal")
TAGS = ("basic", "advanced", *BASIC, *ADVANCED)
NUMBER = re.compile(r"[0-9]{5}")


@dataclass(frozen=True)
class Prompt:
    """A prompt: its number of five digits, which names its image; its text; and its skills."""

    number: str
    text: str
    tags: frozenset[str]


def read_prompts(folder: Path) -> list[Prompt]:
    """The prompts of a folder, in order.

    Raises FileNotFoundError if one of the two files is not there; ValueError if one is invalid; the message says where.
    """
    give = f"give --prompts a folder with {PROMPTS} and {SKILLS}, as in BaiqiL/GenAI-Bench-1600"
    entries, skills = (read_object(folder / name, required=give) for name in (PROMPTS, SKILLS))
    texts = {
        number: _text(number, entry, f"{folder / PROMPTS}: {number}") for number, entry in entries.items()
    }
    tags: dict[str, set[str]] = {number: set() for number in texts}
    for tag, numbers in skills.items():
        check_choice(tag, TAGS, f"{folder / SKILLS}: skill")
        where = f"{folder / SKILLS}: {tag}"
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise ValueError(f"{where} must be a list of prompts' numbers")
        for number in numbers:
            if (name := f"{number:05d}") not in tags:
                raise ValueError(
                    f"{where} names prompt {name}, which {PROMPTS} has not: are they of one set?"
                )
            tags[name].add(tag)
    return [Prompt(number, text, frozenset(tags[number])) for number, text in texts.items()]


def _text(number: str, entry: Any, where: str) -> str:
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{where}: a prompt's number has five digits")
    return check_text(entry.get("prompt") if isinstance(entry, dict) else None, f"{where}: prompt")
