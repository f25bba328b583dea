"""GenEval's prompts and their requirements: a JSON object a line, `tag`, `prompt`, `include` and perhaps `exclude`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.checks import check_choice, check_text
from evals.geneval.vocabulary import GENEVAL, RELATIONS, TAGS, Vocabulary
from evals.prompt_file import read_prompt_lines
from models.component_config import check_keys


@dataclass(frozen=True)
class Requirement:
    """A number of objects of a class, perhaps in a colour or in a relation to an earlier requirement of the list."""

    name: str
    count: int
    colour: str | None = None
    relation: str | None = None
    target: int = 0


@dataclass(frozen=True)
class Prompt:
    """A prompt: what must be in its image, what must not, and the line of JSON that it was read from."""

    tag: str
    text: str
    include: tuple[Requirement, ...]
    exclude: tuple[Requirement, ...]
    line: str

    @property
    def classes(self) -> set[str]:
        """Every class that its requirements name."""
        return {wanted.name for wanted in (*self.include, *self.exclude)}


def read_prompts(path: Path, vocabulary: Vocabulary = GENEVAL) -> list[Prompt]:
    """The prompts of a file, in order.

    Raises FileNotFoundError if it is not there; ValueError if it is empty, or a line is no prompt; names the line.
    """
    lines = read_prompt_lines(path, "GenEval's evaluation_metadata.jsonl")
    return [parse_line(line, f"{path}:{i}", vocabulary) for i, line in enumerate(lines, 1)]


def parse_line(line: str, where: str, vocabulary: Vocabulary = GENEVAL) -> Prompt:
    """The prompt of a line. Raises ValueError if it is no prompt; begins with `where`."""
    try:
        metadata = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON object ({error})") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{where}: no JSON object but {line.strip()[:60]}")
    return parse_prompt(metadata, where, vocabulary)


def parse_prompt(metadata: Mapping[str, Any], where: str, vocabulary: Vocabulary = GENEVAL) -> Prompt:
    """The prompt of a JSON object.

    Raises ValueError if a key is missing, or names what is not known; begins with `where`.
    """
    tag = check_choice(metadata.get("tag"), TAGS, f"{where}: tag")
    text = check_text(metadata.get("prompt"), f"{where}: prompt")
    lists = {key: metadata.get(key, []) for key in ("include", "exclude")}
    for key, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ValueError(f"{where}: {key} must be a list of objects, not {items!r}")
    if not lists["include"]:
        raise ValueError(f"{where}: include is missing or empty, so any image would be right")
    include, exclude = (
        tuple(_requirement(item, key, i, where, vocabulary) for i, item in enumerate(items))
        for key, items in lists.items()
    )
    return Prompt(tag, text, include, exclude, json.dumps(metadata))


def _requirement(
    item: Mapping[str, Any], key: str, index: int, where: str, vocabulary: Vocabulary
) -> Requirement:
    """A requirement of a list, of which only those to include have a colour and a position."""
    where = f"{where}: {key}[{index}]"
    check_keys(item, ("class", "count", *(("color", "position") if key == "include" else ())), where)
    name, count = check_choice(item.get("class"), vocabulary.classes, f"{where}: class"), item.get("count")
    if type(count) is not int or count < 1:
        raise ValueError(f"{where}: count must be a whole number from 1, not {count!r}")
    colour = check_choice(item["color"], vocabulary.colours, f"{where}: color") if "color" in item else None
    if "position" not in item:
        return Requirement(name, count, colour)
    position = item["position"]
    if not isinstance(position, list) or len(position) != 2:
        raise ValueError(f'{where}: position must be ["left of", 0], a relation and whose, not {position!r}')
    relation, target = check_choice(position[0], RELATIONS, f"{where}: position"), position[1]
    if type(target) is not int or not 0 <= target < index:
        raise ValueError(f"{where}: position must refer to an earlier one of the list, not to {target!r}")
    return Requirement(name, count, colour, relation, target)
