"""The mixture: the seed fixes it, weights hold, and it is resumed exactly where it was cut."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from tests.datamodules.text_sources import sources, values, words

__all__ = ["sources"]


def test_a_seed_fixes_the_order(sources):
    first, again, other = (values(MixedStream(sources, seed), 60) for seed in (1, 1, 2))
    assert first == again != other


def test_weights_are_kept(sources):
    counts = Counter(w[0] for w in values(MixedStream(sources, 3), 2000))
    assert 0.70 < counts["a"] / 2000 < 0.80


@pytest.mark.parametrize("cut", [0, 1, 8, 25, 50])
def test_resume_is_exact(sources, cut):
    whole = values(MixedStream(sources, 5), 80)
    stream = MixedStream(sources, 5)
    head = values(stream, cut)
    rest = MixedStream(sources, 5)
    rest.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert head + values(rest, 80 - cut) == whole


def test_other_shards_than_before_are_refused(sources, tmp_path):
    stream = MixedStream(sources, 5)
    values(stream, 3)
    more = dict(sources, b=Source([*sources["b"].shards, *sources["a"].shards[:1]], 0.25, words))
    with pytest.raises(ValueError, match="source 'b' had 1 shards when this run was cut off and has 2 now"):
        MixedStream(more, 5).load_state_dict(stream.state_dict())
    with pytest.raises(ValueError, match="this run has read from b, which is no longer among its sources"):
        MixedStream({"a": sources["a"]}, 5).load_state_dict(stream.state_dict())


def test_a_source_may_join_and_another_fall_silent(sources):
    """As a round of self-enhancement does: what was begun goes on, what is new begins at its beginning."""
    stream = MixedStream({"a": sources["a"]}, 5)
    head = values(stream, 7)
    joined = MixedStream({"a": sources["a"], "b": sources["b"]}, 5)
    joined.load_state_dict(stream.state_dict())
    items = list(islice(joined, 60))
    begun = [item.value for item in items if item.address.source == "a"]
    assert begun == values(MixedStream({"a": sources["a"]}, 5), 7 + len(begun))[7:] and head
    assert {item.address.source for item in items} == {"a", "b"}
    silent = MixedStream({"a": sources["a"], "b": replace(sources["b"], weight=0.0)}, 5)
    silent.load_state_dict(joined.state_dict())
    assert {item.address.source for item in islice(silent, 40)} == {"a"}


def test_an_item_can_be_read_again_by_its_address(sources):
    items = list(islice(MixedStream(sources, 5), 30))
    again = MixedStream(sources, 5).reread([item.address for item in items])
    assert again == items
    Path(sources["a"].shards[items[0].address.shard]).unlink()
    with pytest.raises(ValueError, match="is not what it was"):
        MixedStream(sources, 5).reread([item.address for item in items if item.address.source == "a"])
