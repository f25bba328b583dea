"""Several processes that draw into a folder, joined as torchrun joins them."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from evals.ranks import Ranks, join_processes
from tests.evals.painter import Painter


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their paths in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def in_processes(world: int, work: Callable[[Painter, Ranks], object], notes: Path) -> list[list[int]]:
    """Runs `work` in so many processes joined as torchrun joins them; returns the seeds that each drew."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    children = []
    for rank in range(world):
        if (child := os.fork()) == 0:
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), **address}
            try:
                painter = Painter()
                with join_processes() as ranks:
                    work(painter, ranks)
                (notes / str(rank)).write_text(json.dumps(painter.seeds))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return [json.loads((notes / str(rank)).read_text()) for rank in range(world)]
