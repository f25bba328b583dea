"""How far long work is, told now and then."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

log = logging.getLogger(__name__)

OFTEN = 20.0  # seconds between two lines
Item = TypeVar("Item")


def telling(items: Iterable[Item], what: str) -> Iterator[Item]:
    """The items one by one; tells at times how many of them are done.

    Args:
        items: what to do something with.
        what: is told of them, as `images scored`.
    """
    of = f" of {len(items)}" if isinstance(items, Sized) else ""
    start = told = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - told > OFTEN:
            told = time.monotonic()
            log.info("%d%s %s after %.0f s", number, of, what, told - start)
