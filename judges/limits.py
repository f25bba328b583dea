"""What may be set of a judge over HTTP, and what a server's counts of tokens are believed to be."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

MOST = 10_000  # of tries, of calls at a time: beyond that a figure is a slip
LONGEST = 30 * 24 * 3600.0  # seconds
USUAL_TOKENS = (2000, 500)  # in and out: what an answer is counted as that reports none, or what cannot be
MAX_TOKENS = 10**6  # in or out, of one answer: a server that reports more is not believed


def check_sizes(**given: int | None) -> None:
    """Raises ValueError where one of these settings is no count; None sets none."""
    for name, value in given.items():
        if value is not None and (
            isinstance(value, bool) or value < 1 or (name != "max_calls" and value > MOST)
        ):
            most = "" if name == "max_calls" else f" to {MOST}"
            raise ValueError(f"OpenAIJudge: {name} is {value!r}: give a whole number from 1{most}")


def check_amounts(zero: bool = False, **given: float | None) -> None:
    """Raises ValueError where one of these settings is no amount above 0, or from 0 on; None sets none."""
    for name, value in given.items():
        if value is None:
            continue
        timed = name in ("timeout", "deadline", "first_wait")
        right = isfinite(value) and (value >= 0 if zero else value > 0) and not (timed and value > LONGEST)
        if isinstance(value, bool) or not right:
            most = f", of at most {LONGEST:.0f} seconds" if timed else ""
            raise ValueError(
                f"OpenAIJudge: {name} is {value!r}: give a number {'from' if zero else 'above'} 0{most}"
            )


def believed(counts: Sequence[Any]) -> list[int]:
    """Tokens in and out that a server reports, where they can be true."""
    return [
        min(count, MAX_TOKENS) if isinstance(count, int) and count > 0 else usual
        for count, usual in zip(counts, USUAL_TOKENS, strict=True)
    ]
