"""A name that must be one of those that there are."""

import difflib
from collections.abc import Collection
from typing import Any


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
