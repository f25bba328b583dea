"""Checks of values that users give: names, texts and sizes; the nearest name where one is wrong."""

import difflib
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

LAYOUT = "\t\n\r\x85"  # control characters that lay text out; U+0085 is a line break of EBCDIC's
CONTROLS = {"\0": "NUL", "\a": "bell", "\b": "backspace", "\x1b": "escape", "\x7f": "delete"}
MAX_BYTES = 255  # of one folder's name, on the usual file systems


def check_run_name(name: str, key: str = "name") -> None:
    """Makes sure that a name, as illume_7b/stage1, stays below the folder that it is put in, and can be printed.

    Raises:
        ValueError: it is empty, leads elsewhere, or has letters that no terminal should be sent.
    """
    parts = name.split("/")
    if not all(parts) or set(parts) & {".", ".."} or name.startswith("~") or "\\" in name:
        raise ValueError(
            f"{key} is {name!r}, and must lead to a folder of its own below the others: letters, digits and signs, or "
            "several such with '/' between them"
        )
    if not name.isprintable():
        raise ValueError(f"{key} is {name!r}, which has letters that cannot be printed: leave them out")
    if any(len(part.encode("utf-8", "surrogatepass")) > MAX_BYTES for part in parts):
        raise ValueError(f"{key} is longer than a folder's name may be: {name[:40]!r}...")


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint at what was meant by a wrong `name`: the nearest known name, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there is {', '.join(known) or 'none'}"


def check_choice(value: Any, choices: Collection[str], where: str) -> str:
    """Returns a value that is one of the choices.

    Raises:
        ValueError: it is not; the message begins with `where`, and suggests a name.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"{where} {value!r} is not known: {suggest(str(value), choices)}")


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


def check_sizes(kind: str, least: int = 1, **given: int) -> None:
    """Raises ValueError where a size is below the least that it can be; `kind` names what they belong to."""
    for name, value in given.items():
        if value < least:
            raise ValueError(f"{kind}: {name} is {value}, and must be {least} or more")
