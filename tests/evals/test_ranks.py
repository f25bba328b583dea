"""The shares of processes."""

from evals.ranks import Ranks


def test_shares_partition_the_items() -> None:
    shares = [Ranks(rank, 3).share(range(10)) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(10)) and max(map(len, shares)) == 4
