"""Rows are filled, nobody waits for ever, and a packer goes on where it was cut."""

import json
import random
from collections import Counter

import pytest

from datamodules.packing import PackedReader, fill_row
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from tests.datamodules.tars import write_samples, write_shards


def test_a_row_takes_the_oldest_and_is_filled_as_well_as_can_be():
    assert fill_row([5, 9, 3, 7, 2], 10) == [0, 2, 4]
    assert fill_row([10, 1, 2], 10) == [0]
    assert fill_row([4, 7, 3, 3], 10) == [0, 2, 3]
    assert fill_row([4], 10) == [0]


def test_a_row_is_filled_as_well_as_by_trying_all():
    rng = random.Random(0)
    for _ in range(200):
        lengths = [rng.randint(1, 30) for _ in range(9)]
        best = max(
            total
            for chosen in range(2**8)
            if (total := lengths[0] + sum(x for i, x in enumerate(lengths[1:]) if chosen >> i & 1)) <= 40
        )
        chosen = fill_row(lengths, 40)
        assert chosen[0] == 0 and sum(lengths[i] for i in chosen) == best and len(set(chosen)) == len(chosen)


@pytest.fixture
def sources(tmp_path):
    def length(sample, rng):  # a list stands for a segment: only its length matters
        return [sample["txt"]] * rng.randint(3, 60)

    return {"a": Source(write_shards(tmp_path, shards=4, samples=50), 1, length)}


def test_rows_are_full_and_nothing_is_lost(sources):
    packer, seen, tokens = PackedReader(MixedStream(sources, 0), 100), Counter(), 0
    for _ in range(60):
        row = packer.row()
        tokens += sum(len(item.value) for item in row)
        seen.update(item.address for item in row)
    seen.update(item.address for item in packer.waiting)
    assert tokens > 0.99 * 60 * 100
    assert set(seen.values()) == {1} and len(seen) == packer.stream.drawn


@pytest.mark.parametrize("cut", [0, 1, 17])
def test_resume_is_exact(sources, cut):
    def rows(packer, n):
        return [[item.address for item in packer.row()] for _ in range(n)]

    whole = rows(PackedReader(MixedStream(sources, 3), 100), 40)
    packer = PackedReader(MixedStream(sources, 3), 100)
    head = rows(packer, cut)
    rest = PackedReader(MixedStream(sources, 3), 100)
    rest.load_state_dict(json.loads(json.dumps(packer.state_dict())))
    assert head + rows(rest, 40 - cut) == whole


def words(sample, rng):
    return sample["txt"].decode() + f"/{rng.random():.6f}"


def test_waiting_documents_of_a_replaced_shard_are_refused(tmp_path):
    """Of the same keys and other texts; once the shard is put back, what waited is read as it was."""

    def shard(word):
        return str(write_samples(tmp_path / "0.tar", {f"{i:03d}": {"txt": word} for i in range(200)}))

    sources = {"a": Source([shard(b"word")], 1, words)}
    packer = PackedReader(MixedStream(sources, 5), 20, look_ahead=8)
    packer.row()
    state = json.loads(json.dumps(packer.state_dict()))
    state["stream"]["sources"]["a"].update(open=[], next=1)  # its epoch is over: only what waits shows it
    shard(b"other word")
    with pytest.raises(
        ValueError, match="0.tar is not what it was when this run read from it: put that back"
    ):
        PackedReader(MixedStream(sources, 5), 20, look_ahead=8).load_state_dict(state)
    shard(b"word")
    again = PackedReader(MixedStream(sources, 5), 20, look_ahead=8)
    again.load_state_dict(state)
    assert [item.value for item in again.waiting] == [item.value for item in packer.waiting]
