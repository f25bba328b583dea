"""Text files as other people's programs leave them: byte-order marks, line ends, encodings."""

import codecs
from pathlib import Path

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

    Raises:
        ValueError: another encoding, or no text; the message names `where` (a file, a member), line and byte.
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
    """The text of a file, as `decode_text` has it."""
    return decode_text(path.read_bytes(), str(path))


def split_lines(text: str) -> list[str]:
    r"""Lines that end in \n or \r\n alone: str.splitlines also cuts at U+2028, U+0085 and others, within a caption."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines
