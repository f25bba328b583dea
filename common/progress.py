"""Progress of long work: a bar on a terminal, a line in the log now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from common.folder_lock import is_first_process

log = logging.getLogger(__name__)

LOG_SECONDS = 20.0  # between two lines of a log
Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yields the items, and shows how many are done and how long the rest takes.

    Args:
        items: to work on.
        description: of what is done then, as "images scored".
        total: number of items, if they have no length.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    bar = sys.stderr.isatty() and is_first_process()
    return (_show_bar if bar else _log_lines)(items, description, total)


def _show_bar(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total, description=description)


def _log_lines(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    of = f" of {total}" if total is not None else ""
    start = last = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > LOG_SECONDS:
            last = time.monotonic()
            log.info("%d%s %s after %.0f s", number, of, description, last - start)
