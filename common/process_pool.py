"""Work that is shared out among processes, with a progress bar."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from common.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class ProcessKilled(ValueError):
    """A process of the pool was killed."""


def map_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, description: str
) -> Iterator[Result]:
    """Yields the function's result of each item, in order; of one worker in this process.

    Args:
        function: can be pickled, as items and results can.
        items: what there is to do; what is not begun is left when one fails.
        workers: processes.
        description: what is done then, as "shards written".

    Raises:
        ProcessKilled: one was.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, progress(items, description))
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_parent)
    try:
        yield from progress(pool.map(function, items), description, len(items))
    except BrokenProcessPool as error:
        raise ProcessKilled(
            "a process was killed, as where memory ends: the same command goes on; give it fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Makes a worker end when its parent is gone, and leave Ctrl-C to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
