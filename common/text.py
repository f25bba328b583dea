"""Text files as other people's programs leave them: byte-order marks, line ends, encodings."""

import codecs
import unicodedata
from pathlib import Path
from typing import Any

LAYOUT = "\t\n\r\x85"  # control characters that lay text out; U+0085 is a line break of EBCDIC's
CONTROLS = {"\0": "NUL", "\a": "bell", "\b": "backspace", "\x1b": "escape", "\x7f": "delete"}
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
        ValueError: they are in another encoding, or no text; the message names the line and the byte.
    """
    mark, encoding = next((one for one in MARKS if content.startswith(one[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise ValueError(
            f"{where}, line {line}: not {encoding.upper()} ({byte}): save it as UTF-8"
        ) from error
    if "\0" in text:  # letters of UTF-16 without a mark decode as UTF-8, each with a zero beside it
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{where}, line {line}: not UTF-8 (byte 0x00, as of UTF-16): save it as UTF-8")
    return text


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


def check_text(text: Any, where: str = "the text") -> str:
    """Returns a text that can be a prompt: line breaks, tabs, joiners and every kind of space are allowed.

    Raises:
        ValueError: it is no text, is empty, or holds a control character or half of a surrogate pair; the message begins
            with `where`.
    """
    if not isinstance(text, str):
        raise ValueError(f"{where} must be text, not {text!r}")
    if not text.strip():
        raise ValueError(f"{where} is empty")
    for number, letter in enumerate(text, 1):
        kind = unicodedata.category(letter)
        if kind == "Cs" or kind == "Cc" and letter not in LAYOUT:
            name = "half of a surrogate pair" if kind == "Cs" else CONTROLS.get(letter, "a control character")
            raise ValueError(
                f"{where} holds U+{ord(letter):04X} ({name}) at letter {number}, which no text may: leave it out"
            )
    return text
