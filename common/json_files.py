"""JSON files and lines of JSON, which others may have written: bounded in size and depth, every error one line."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from common.files import write_bytes
from common.foreign_files import check_file
from common.text import decode_text, split_lines

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64  # of lists and objects within one another


def read_json(path: Path, max_bytes: int = MAX_BYTES, allow_nan: bool = False) -> Any:
    """Returns the value of a file; `allow_nan` accepts NaN and Infinity, which are not JSON.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is empty, cut short, too large, too deep, no JSON, no file, or a pointer of git-lfs; the message
            names it.
    """
    check_file(path, max_bytes)
    text = decode_text(path.read_bytes(), str(path))
    if not text.strip():
        raise ValueError(f"{path} is empty: whatever wrote it was cut off; remove it or get it again")
    return parse_json(text, str(path), allow_nan)


def read_object(
    path: Path, max_bytes: int = MAX_BYTES, allow_nan: bool = False, required: str = ""
) -> dict[str, Any]:
    """As `read_json`, of a file that holds an object; `required`: what to do if it is missing or empty, an error then."""
    if required and not path.is_file():
        raise FileNotFoundError(f"{path} is not there: {required}")
    value = read_json(path, max_bytes, allow_nan)
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    if required and not value:
        raise ValueError(f"{path} must hold a JSON object that is not empty")
    return value


def parse_json(text: str, where: str, allow_nan: bool = True, line: int | None = None) -> Any:
    """Returns the value of a JSON text, of the file `where` or of one line of it.

    Raises:
        ValueError: it is no JSON, or nested too deeply; the message names file and line.
    """

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON number")

    place = where if line is None else f"{where}, line {line}"
    try:
        value = json.loads(text, parse_constant=None if allow_nan else refuse)
        _check_depth(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}, line {line or error.lineno}: not valid JSON: {error.msg}") from error
    except RecursionError:
        raise ValueError(f"{place}: not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{place}: not valid JSON: {error}") from error
    return value


def parse_json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    """Yields line number (from 1) and value of each line of JSON that is not empty; errors as of `parse_json`."""
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            yield number, parse_json(line, where, line=number)


def parse_json_or_lines(text: str, where: str) -> tuple[Any, list[tuple[int, Any]] | None]:
    """Parses JSON or lines of JSON, whatever the file's name ends in; errors as of `parse_json`.

    Returns:
        The one value and None; or None and the values with the numbers of their lines.
    """
    try:
        return parse_json(text, where), None
    except ValueError as error:  # "extra data" is what stands after the first of several values
        if not isinstance(error.__cause__, json.JSONDecodeError) or error.__cause__.msg != "Extra data":
            raise
    return None, list(parse_json_lines(text, where))


def read_json_lines(path: Path) -> list[dict[str, Any] | None]:
    """Returns the objects of a file's lines, none where there is no file; None for a line that is cut off or damaged."""
    return [_object(line) for line in path.read_bytes().splitlines(keepends=True)] if path.is_file() else []


def write_json_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Writes a file of objects, whole or not at all."""
    write_bytes(path, b"".join(map(_line, objects)))


def append_json_line(path: Path, value: Mapping[str, Any]) -> None:
    """Adds an object to a file, on disk before it returns."""
    with path.open("ab") as file:
        file.write(_line(value))
        file.flush()
        os.fsync(file.fileno())


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value) + "\n").encode()


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _check_depth(value: Any) -> None:
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [inner for outer in layer for inner in _contents(outer)]
        if not layer:
            return
    raise ValueError(f"more than {MAX_DEPTH} lists and objects within one another")


def _contents(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
