"""Escapes names and messages from elsewhere for a terminal."""

import unicodedata


def printable(text: str) -> str:
    r"""The text on one line, with control characters escaped (\x1b), so that no name moves a cursor or forges a line."""
    return "".join(_escape(letter) for letter in text)


def _escape(letter: str) -> str:
    kind = unicodedata.category(letter)
    # Cc: control; Cs: half of a pair, as of names that are not UTF-8; Zl, Zp: line ends; Cf holds right-to-left marks
    if kind in ("Cc", "Cs", "Zl", "Zp") or letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
        return letter.encode("unicode_escape").decode()
    return letter
