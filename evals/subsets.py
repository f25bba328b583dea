"""Subsets of a benchmark: which of its items a limit takes."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spaced over the list."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def round_robin(kinds: Sequence[str], limit: int | None) -> list[int]:
    """Indices of at most `limit` items, in order: the first of each kind in turn."""
    queues = [[i for i, kind in enumerate(kinds) if kind == one] for one in sorted(set(kinds))]
    turns = chain.from_iterable(zip_longest(*queues))
    return sorted([i for i in turns if i is not None][:limit])
