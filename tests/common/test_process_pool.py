"""Work that is shared out among processes."""

import os
import signal

import pytest

from common.process_pool import ProcessKilled, map_processes


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_are_in_order_from_other_processes():
    results = list(map_processes(square, range(5), 2, "squares"))
    assert [result for result, _ in results] == [0, 1, 4, 9, 16]
    assert os.getpid() not in {process for _, process in results}


def test_one_worker_is_this_process():
    assert list(map_processes(square, [3], 4, "squares")) == [(9, os.getpid())]


def test_a_killed_process_is_one_line():
    with pytest.raises(ProcessKilled, match="the same command goes on"):
        list(map_processes(die, range(2), 2, "nothing"))
