"""JSON on disk: a file that is one object, and a file of an object a line, to which more are appended."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.files import write_bytes
from common.text import read_text


def read_object(path: Path, give: str) -> dict[str, Any]:
    """The object of a file.

    Args:
        path: which.
        give: what to do where it is missing.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is something else, or empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: {give}")
    try:
        said = json.loads(read_text(path))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(said, dict) or not said:
        raise ValueError(f"{path} must be a JSON object that is not empty")
    return said


def read_lines(path: Path) -> list[dict[str, Any] | None]:
    """The objects of a file's lines, none where there is no file; None for a line that is cut off or damaged."""
    return [_object(line) for line in path.read_bytes().splitlines(keepends=True)] if path.is_file() else []


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def write_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Writes a file of objects, whole or not at all."""
    write_bytes(path, b"".join(map(_line, objects)))


def append_line(path: Path, said: Mapping[str, Any]) -> None:
    """Adds an object to a file, on disk before it returns."""
    with path.open("ab") as file:
        file.write(_line(said))
        file.flush()
        os.fsync(file.fileno())


def _line(said: Mapping[str, Any]) -> bytes:
    return (json.dumps(said) + "\n").encode()
