"""JSON files that others may have written: their size and depth are bounded, and what is wrong is one line."""

import json
from pathlib import Path
from typing import Any, NoReturn

from common.foreign_files import check_file
from common.text import decode_text

MOST_BYTES = 64 * 2**20
MOST_DEPTH = 64  # of lists and objects within one another


def read_json(path: Path, most: int = MOST_BYTES, infinite: bool = False) -> Any:
    """The value of a file.

    Args:
        path: of the file.
        most: bytes that it may have.
        infinite: whether NaN and Infinity will do, which JSON has not.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is empty, cut short, too large, too deep, no JSON, no file, or a pointer of git-lfs; the message
            names it.
    """
    check_file(path, most)
    text = decode_text(path.read_bytes(), str(path))
    if not text.strip():
        raise ValueError(f"{path} is empty: whatever wrote it was cut off; take it away or get it again")

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON's")

    try:
        value = json.loads(text, parse_constant=float if infinite else refuse)
        _check_depth(value)
    except RecursionError:
        raise ValueError(f"{path} is no JSON that is read: too deep") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON that is read: {error}") from None
    return value


def read_object(path: Path, most: int = MOST_BYTES, infinite: bool = False) -> dict[str, Any]:
    """As `read_json`, of a file that holds an object.

    Raises:
        ValueError: it holds something else, too.
    """
    value = read_json(path, most, infinite)
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def _check_depth(value: Any) -> None:
    layer, depth = [value], 0
    while layer:
        layer = [x for outer in layer for x in _inside(outer)]
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"more than {MOST_DEPTH} lists and objects within one another")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
