"""The maximum over processes, waited for or read later."""

from types import SimpleNamespace

import torch.distributed as dist

from tests.ranks import forked
from training.parallel.rank_max import RankMax


def test_a_single_process_has_its_own_number() -> None:
    rank_max = RankMax()
    rank_max.open(SimpleNamespace(world_size=1))
    assert rank_max.is_single_process and rank_max.reduce(3.5) == 3.5


def test_two_processes_have_the_larger_number() -> None:
    def run(rank: int) -> list[float]:
        dist.init_process_group("gloo")
        rank_max = RankMax()
        rank_max.open(SimpleNamespace(world_size=2))
        pending = [rank_max.start(number + rank) for number in (0.25, -7.0)]
        found = [one.wait() for one in pending] + [rank_max.reduce(-rank), float(rank_max.is_single_process)]
        dist.destroy_process_group()
        return found

    assert forked(run, 2) == [[1.25, -6.0, 0.0, 0.0]] * 2
