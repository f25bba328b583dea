"""Two sources of short texts, and the values of a stream of them."""

from itertools import islice

import pytest

from datamodules.source_stream import Source
from tests.datamodules.tars import write_shards


def words(sample, rng):
    return sample["txt"].decode() + f"/{rng.random():.6f}"


def values(stream, n):
    return [item.value for item in islice(stream, n)]


@pytest.fixture
def sources(tmp_path):
    return {
        "a": Source(write_shards(tmp_path / "a", name="a"), 0.75, words),
        "b": Source(write_shards(tmp_path / "b", shards=1, name="b"), 0.25, words),
    }
