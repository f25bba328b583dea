"""YAML files that may be anybody's: plain values only, and bounded in size, depth and what their anchors unfold to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.text import decode_text

MAX_BYTES = 16 * 2**20
MAX_NODES = 1_000_000  # keys and values, those of an anchor counted wherever it is named
MAX_DEPTH = 64
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; None where it is empty.

    Raises:
        OSError: it cannot be read, or is no plain file.
        ValueError: it is no YAML, too large or too deep, names a key twice, or stands for an object of Python.
    """
    if path.exists() and not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB: too large for a YAML file of settings"
        )
    return parse_yaml(decode_text(content, str(path)), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """What a YAML text holds; errors, as of `read_yaml`, call it `where`."""
    try:
        _check_events(text, where)
        return yaml.load(text, Loader=LOADER)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise ValueError(f"{where}{line} is not valid YAML: {' '.join(str(problem).split())}") from error
    except (ValueError, OverflowError, TypeError) as error:  # a date or a number that cannot be
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where} is not valid YAML: {error}") from error


def check_bounds(text: str, where: str) -> None:
    """Makes sure that a value of a command line, which may be YAML or plain text, unfolds to no more than a file may.

    Raises:
        ValueError: it does.
    """
    try:
        _check_events(text, where)
    except yaml.YAMLError:
        return  # plain text


@dataclass
class _Open:
    """A list or mapping that is being read: its anchor, how many nodes it has so far, and a mapping's keys."""

    anchor: str | None
    mapping: bool
    nodes: int = 1
    children: int = 0
    keys: set[str] = field(default_factory=set)


def _check_events(text: str, where: str) -> None:
    """Counts what the text unfolds to, before anything of it is built.

    Raises:
        ValueError: it is too much, or a key stands twice in one mapping.
    """
    sizes: dict[str, int] = {}
    stack: list[_Open] = []
    for event in _events(text):
        line = f"{where}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(stack) > MAX_DEPTH:
                raise ValueError(f"{line}: lists and mappings stand more than {MAX_DEPTH} deep in each other")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            nodes = closed.nodes
            if closed.anchor:
                sizes[closed.anchor] = nodes
        elif isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in stack):
                raise ValueError(f"{line}: *{event.anchor} stands within what it names")
            nodes = sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            nodes = 1
            if event.anchor:
                sizes[event.anchor] = 1
            if stack and stack[-1].mapping and stack[-1].children % 2 == 0 and event.value != "<<":
                if event.value in stack[-1].keys:
                    raise ValueError(f"{line}: the key {event.value!r} stands twice: leave one out")
                stack[-1].keys.add(event.value)
        else:
            continue
        if stack:
            stack[-1].nodes += nodes
            stack[-1].children += 1
            if stack[-1].nodes > MAX_NODES:
                raise ValueError(
                    f"{line}: it unfolds to more than {MAX_NODES} values, by anchors or as it stands"
                )


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=LOADER)
