"""Several processes that find each other as torchrun's do, forked from the test so that nothing is imported again."""

import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from typing import Any

import torch


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def torchrun_environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives process `rank` of `ranks` on one machine."""
    ours = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    return {name: str(value) for name, value in (ours | shared).items()}


def start(function: Callable[[int], Any], ranks: int) -> list[multiprocessing.Process]:
    """Processes that run `function(rank)`; an exit in it is theirs."""
    context = multiprocessing.get_context("fork")
    port = free_port()

    def work(rank: int) -> None:
        os.environ.update(torchrun_environment(rank, ranks, port))
        torch.set_num_threads(1)
        function(rank)

    processes = [context.Process(target=work, args=(rank,), daemon=True) for rank in range(ranks)]
    for process in processes:
        process.start()
    return processes


def forked(function: Callable[[int], Any], ranks: int, seconds: float = 120) -> list[Any]:
    """What `function(rank)` returns in each of several processes; an exception of any is raised here."""
    results = multiprocessing.get_context("fork").Queue()

    def work(rank: int) -> None:
        try:
            results.put(
                (rank, pickle.dumps(function(rank)), None)
            )  # a tensor itself would die with its process
        except BaseException as error:
            results.put((rank, None, f"{type(error).__name__}: {error}"))

    processes = start(work, ranks)
    try:
        found = sorted(results.get(timeout=seconds) for _ in processes)
    finally:
        for process in processes:
            process.kill()
    failures = [failure for _, _, failure in found if failure]
    if failures:
        raise RuntimeError("; ".join(failures))
    return [pickle.loads(result) for _, result, _ in found]
