"""Settings of a round."""

import pytest

from models.generation import SamplingConfig
from self_enhancement.settings import RoundSettings


@pytest.mark.parametrize(
    "wrong",
    [{"count": 10, "draws": 3}, {"target": "own"}, {"bad_share": 0.0}, {"count": 0}, {"hard_negatives": -1}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError):
        RoundSettings("pairs", **wrong)


def test_sampling_is_the_models_own_where_none_is_given():
    own = SamplingConfig(2.0, 1.0, 20, 0.9)
    assert RoundSettings("pairs", sampling=SamplingConfig(top_k=3)).resolve(own).sampling == SamplingConfig(
        2.0, 1.0, 3, 0.9
    )
    assert RoundSettings("pairs").shards == ["pairs"] and RoundSettings(["a", "b"]).shards == ["a", "b"]
