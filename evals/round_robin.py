"""A part of a benchmark that has some of every kind, though its file need not be mixed."""

from collections.abc import Sequence
from itertools import chain, zip_longest


def in_turn(kinds: Sequence[str], most: int | None) -> list[int]:
    """Which items to take, given the kind of each: the first of each kind in turn, at most `most`, in their order."""
    queues = [[place for place, kind in enumerate(kinds) if kind == one] for one in sorted(set(kinds))]
    turns = chain.from_iterable(zip_longest(*queues))
    return sorted([place for place in turns if place is not None][:most])
