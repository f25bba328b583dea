"""Which settings make another run of it."""

from training.configs import config_differences


def test_a_session_may_be_longer_than_the_last_and_nothing_else_may_differ() -> None:
    one = {"name": "a", "trainer": {"max_time": "00:01:00:00", "max_steps": 3}}
    assert not config_differences(one, {"name": "b", "trainer": {"max_time": None, "max_steps": 3}})
    assert config_differences(one, {"trainer": {"max_steps": 4}}) == ["trainer.max_steps (3 -> 4)"]
