"""The loader: any number of workers gives the same batches, and it goes on where it was cut, in any epoch."""

import itertools
import json
import logging

import pytest

from datamodules.loader import Batch, RankLoader, Reader, reader_of
from datamodules.skips import ReadCounts, Skip, TooManySkipped
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from tests.datamodules.tars import write_shards


class TextReader(Reader):
    """A reader that makes batches of four words."""

    def batch(self):
        items = [next(self.stream) for _ in range(4)]
        return Batch("|".join(item.value for item in items), {"a": 4}, {"a": 40}, 50)


class Loaders:
    def __init__(self, folder):
        self.sources = {
            "a": Source(write_shards(folder / "a", shards=9, name="a"), 0.7, self.word),
            "b": Source(write_shards(folder / "b", shards=2, name="b"), 0.3, self.word),
        }

    @staticmethod
    def word(sample, rng):
        return sample["txt"].decode()

    def open(self, shard_id, num_shards):
        return TextReader(MixedStream(self.sources, 7, shard_id, num_shards))

    def __call__(self, workers, **options):
        return RankLoader(self.open, 7, workers, **options)


@pytest.fixture
def loader(tmp_path):
    return Loaders(tmp_path)


def test_each_reader_belongs_to_one_worker():
    for workers in (1, 2, 3, 4):
        owners = [
            {n % workers for n in range(200) if reader_of(n, workers, [5, 6, 7, 8]) == r}
            for r in (5, 6, 7, 8)
        ]
        assert all(len(owner) == 1 for owner in owners)
    orders = [[reader_of(n, workers, [5, 6, 7, 8]) for n in range(40)] for workers in (1, 2, 4)]
    assert orders[0] == orders[1] == orders[2]


def test_any_number_of_workers_gives_the_same_batches(loader):
    def three_epochs(workers):
        one = loader(workers)
        return [list(one) for _ in range(3)]

    plain = three_epochs(0)
    assert [len(epoch) for epoch in plain] == [7, 7, 7] and len({b for e in plain for b in e}) == 21
    assert three_epochs(2) == three_epochs(4) == plain


@pytest.mark.parametrize(("workers", "later"), list(itertools.product([0, 2, 3, 4], [0, 2, 4])))
@pytest.mark.parametrize("cut", [0, 9, 20])
def test_resume_is_exact(loader, workers, later, cut, caplog):
    """`later` workers go on after `workers`: the same batches, unless three of them cannot share four readers."""
    first = loader(workers)
    whole = [batch for _ in range(4) for batch in first]
    broken, head = loader(workers), []
    while len(head) < cut:
        head += itertools.islice(broken, cut - len(head))
    state = json.loads(json.dumps(broken.state_dict()), object_hook=_numbers)
    again = loader(later)
    with caplog.at_level(logging.WARNING):
        again.load_state_dict(state)
    rest = [batch for _ in range(5) for batch in again][: 28 - cut]
    if workers == 3:
        assert "the order of batches changes" in caplog.text
    else:
        assert head + rest == whole and "order" not in caplog.text


def _numbers(found):
    return {int(key) if key.isdigit() else key: value for key, value in found.items()}


def test_three_workers_resume_as_three(loader):
    first = loader(3)
    whole = [batch for _ in range(4) for batch in first]
    broken = loader(3)
    head = list(broken) + list(itertools.islice(broken, 3))
    again = loader(3)
    again.load_state_dict(broken.state_dict())
    assert head + [batch for _ in range(3) for batch in again][:18] == whole


def test_a_finished_epoch_is_followed_by_the_next(loader):
    first = loader(0)
    whole = [batch for _ in range(2) for batch in first]
    ended = loader(0)
    items = iter(ended)
    head = [
        next(items) for _ in range(7)
    ]  # as Lightning takes them: it knows the length and asks for no more
    again = loader(0)
    again.load_state_dict(ended.state_dict())
    rest = [batch for _ in range(2) for batch in again][:7]
    assert head + rest == whole


def test_too_many_skipped_samples_stop_the_run(loader):
    one = loader(0, max_skipped_fraction=0.1)
    one.skipped.add([Skip("a", "broken: badly", f"shard {i}") for i in range(40)])
    reads = ReadCounts(1)
    reads.shards[0].size, reads.shards[0].samples, reads.shards[0].skipped = 900, 96, 40
    one.rate.add({"a": reads})
    with pytest.raises(TooManySkipped, match=r"40 of 1\d\d samples were skipped .*from a: broken \(40\)"):
        list(one)


def test_skips_survive_a_resume(loader):
    one = loader(0)
    list(one)
    one.skipped.add(
        [Skip("a", "broken: badly", "here"), Skip("a", "broken: worse", "there"), Skip("a", "x", "here")]
    )
    again = loader(0)
    again.load_state_dict(one.state_dict())
    again.skipped.add([Skip("a", "broken: badly", "here")])
    assert again.skipped.rows() == [{"source": "a", "reason": "broken", "samples": 2, "example": "here"}]
    assert again.skipped.delivered == {"a": 28} and (one.tokens["a"], one.capacity) == (280, 350)


def test_other_ranks_share_out_the_readers_or_are_refused(loader, monkeypatch):
    state = loader(0).state_dict()
    state["ranks"] = state["ranks"] * 2  # as if two ranks had saved it
    state["readers"] = 8
    one = loader(0)
    one.load_state_dict(state)
    assert one.dataset.readers == list(range(8)) and one.dataset.num_readers == 8
    monkeypatch.setattr("datamodules.loader.rank_and_world_size", lambda: (2, 3))
    with pytest.raises(ValueError, match="8 readers .2 ranks., which 3 ranks cannot divide equally"):
        loader(0).load_state_dict(state)
    monkeypatch.setattr("datamodules.loader.rank_and_world_size", lambda: (3, 4))
    other = loader(0)
    other.load_state_dict(state)
    assert other.dataset.readers == [3, 7]
