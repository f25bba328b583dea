"""Which settings make another run of it."""

from training.config_diff import differences


def test_a_session_may_be_longer_than_the_last_and_nothing_else_may_differ() -> None:
    one = {"name": "a", "trainer": {"max_time": "00:01:00:00", "max_steps": 3}}
    assert not differences(one, {"name": "b", "trainer": {"max_time": None, "max_steps": 3}})
    assert differences(one, {"trainer": {"max_steps": 4}}) == ["trainer.max_steps (3 -> 4)"]
