"""What a file's values must be: some words, or one of the names that there are."""

import difflib
from collections.abc import Collection
from typing import Any

from common.text import check_words


def some_words(value: Any, where: str) -> str:
    """The value, if it is text and not empty.

    Raises:
        ValueError: it is not, or holds control characters; begins with `where`.
    """
    if isinstance(value, str) and value.strip():
        return check_words(value, where)
    raise ValueError(f"{where} must be some words, not {value!r}")


def one_of(value: Any, known: Collection[str], where: str) -> str:
    """The value, if it is known.

    Raises:
        ValueError: it is not; begins with `where`, and says what may have been meant.
    """
    if isinstance(value, str) and value in known:
        return value
    close = difflib.get_close_matches(str(value), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"
    raise ValueError(f"{where} {value!r} is not known: {hint}")
