"""Conversions in tests: run one in this process, and read what it wrote."""

import json
from collections.abc import Callable
from pathlib import Path

from datamodules import convert
from datamodules.shard import Shard
from datamodules.templates import TEMPLATES, TemplateRequest
from models.document import Document


def exit_code(main: Callable[[list[str]], int | None], *arguments: object) -> int:
    """The exit code of a command, run in this process."""
    try:
        return main(list(map(str, arguments))) or 0
    except SystemExit as stop:
        return int(stop.code or 0)


def run(*arguments: object) -> int:
    """The conversion with one worker; its exit code."""
    return exit_code(convert.main, *arguments, "--workers", "1")


def documents(folder: Path, template: str) -> list[Document]:
    """What training reads out of the shards."""
    found: list[Document] = []
    for path in sorted(Path(folder).glob("*.tar")):
        shard = Shard(path)
        found += [TEMPLATES[template](TemplateRequest(shard.read(i), 16)) for i in range(len(shard))]
    return found


def captions(folder: Path) -> list[str]:
    """The captions of shards of pairs."""
    return [document[-1].text for document in documents(folder, "describe")]


def skipped(folder: Path) -> dict[str, int]:
    """How much was left out, by reason."""
    return json.loads((Path(folder) / "summary.json").read_text())["skipped"]
