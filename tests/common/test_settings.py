"""Settings as flat dotted keys."""

from common.settings import differing_keys, flatten


def test_settings_are_flat_and_differ_by_key() -> None:
    one, other = {"a": {"b": 1, "c": {}}, "d": [1]}, {"a": {"b": 2}, "d": [1], "e": None}
    assert flatten(one) == {"a.b": 1, "a.c": {}, "d": [1]}
    assert differing_keys(flatten(one), flatten(other)) == ["a.b", "a.c"]
