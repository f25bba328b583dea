"""Text files as other people's programs leave them: byte-order marks, line ends, encodings."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# UTF-32's little-endian mark begins as UTF-16's does, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(content: bytes, where: str) -> str:
    """Decodes UTF-8, or UTF-16 and UTF-32 with a byte-order mark; the mark is dropped.

    Args:
        content: the bytes.
        where: what an error calls them: a file, or a member of a shard.

    Raises:
        ValueError: they are in another encoding; the message names the line and the byte.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            content = content[len(mark) :]
            break
    else:
        encoding = "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{where}, line {line}: not {encoding.upper()} (byte 0x{content[error.start]:02x}): save it as UTF-8"
        ) from error


def read_text(path: Path) -> str:
    """The text of a file, as `decode_text` has it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is in another encoding.
    """
    return decode_text(path.read_bytes(), str(path))


def split_lines(text: str) -> list[str]:
    r"""Lines that end in \n or \r\n alone: str.splitlines also cuts at U+2028, U+0085 and others, within a caption."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    """Line number (from 1) and value of each line of JSON that is not empty.

    Raises:
        ValueError: a line is no JSON; the message names it.
    """
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}, line {number}: no JSON: {error}") from error
