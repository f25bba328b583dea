"""Which items a limit takes."""

from evals.subsets import round_robin, spread


def test_a_few_are_evenly_spaced_over_the_list() -> None:
    assert spread(range(10), 3) == [0, 3, 6] and spread(range(3), 5) == spread(range(3), None) == [0, 1, 2]


def test_kinds_take_turns() -> None:
    kinds = ["a", "a", "b", "a", "c", "b"]
    assert round_robin(kinds, 4) == [0, 1, 2, 4] and round_robin(kinds, None) == [0, 1, 2, 3, 4, 5]
