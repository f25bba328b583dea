"""What a run skips is held against what was read beside it: healthy runs go on, bad ones stop, all ranks together."""

import random
from functools import partial
from itertools import islice

import pytest
import torch.distributed as dist

from datamodules.loader import RankLoader
from datamodules.packing import PackedReader
from datamodules.skips import ReadCounts, SkipRate, SkipTally, TooManySkipped
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from datamodules.stream_datamodule import ReaderFactory
from models.sequence import Segment
from tests.datamodules.tars import write_samples
from tests.ranks import forked

LIMIT = 0.01


def read_until(rate, shards, size, broken, samples, rng):
    """Reads a set as 16 open shards at a time do; returns after how many samples it was stopped, or None."""
    waiting = [iter(rng.sample(range(size), size)) for _ in range(shards)]
    names, at = list(range(shards)), 16
    for number in range(samples):
        place = rng.randrange(min(at, len(names)))
        which = names[place]
        index = next(waiting[which], None)
        if index is None:  # another takes its place; at the end of a turn, all
            names.pop(place)
            if not names:
                waiting = [iter(rng.sample(range(size), size)) for _ in range(shards)]
                names = rng.sample(range(shards), shards)
            continue
        reads = ReadCounts(shards)
        reads.shards[which].size = size
        reads.shards[which].samples = 1
        reads.shards[which].skipped = int((which, index) in broken)
        rate.add({"a": reads})
        try:
            if number % 20 == 0:
                rate.check(LIMIT)
        except TooManySkipped:
            return number
    return None


@pytest.mark.parametrize(("shards", "size"), [(1, 3000), (6, 500), (60, 50)])
def test_healthy_runs_continue_and_bad_ones_stop(shards, size):
    """0.6%, 0.9% and 5% of the samples are broken, anywhere; the limit is 1%. Twenty seeds each."""
    every = [(shard, index) for shard in range(shards) for index in range(size)]
    stops = {
        share: [
            read_until(SkipRate(), shards, size, set(rng.sample(every, int(share * 3000))), most, rng)
            for rng in map(random.Random, range(20))
        ]
        for share, most in {0.006: 3500, 0.009: 3500, 0.05: 3000}.items()
    }
    assert stops[0.006] == stops[0.009] == [None] * 20
    assert all(stop is not None and stop < 1500 for stop in stops[0.05])


def test_one_bad_shard_of_many_is_not_all_of_them():
    """A shard of which nothing can be decoded, of 200: half a percent, and yet a sixteenth of what is open with it."""
    broken = {(3, index) for index in range(50)}
    for seed in range(8):
        assert read_until(SkipRate(), 200, 50, broken, 10000, random.Random(seed)) is None
    broken = {
        (shard, index) for shard in range(0, 200, 20) for index in range(50)
    }  # ten of them are too many
    for seed in range(8):
        assert read_until(SkipRate(), 200, 50, broken, 10000, random.Random(seed)) is not None


@pytest.mark.parametrize(("lost", "stops"), [(1, False), (3, True)])
def test_lost_shards_count_like_the_others(lost, stops):
    """Of 200 shards, however few samples were read."""
    rate = SkipRate()
    reads = ReadCounts(200)
    for number in range(20):
        reads.shards[number].size = 1000
        reads.shards[number].samples = 6
    for number in range(100, 100 + lost):
        reads.shards[number].lost = 1.0
    rate.add({"a": reads})
    if stops:
        with pytest.raises(
            TooManySkipped, match=r"samples were skipped \(1.5%, .* max_skipped_fraction 1.0%"
        ):
            rate.check(LIMIT)
    else:
        rate.check(LIMIT)
    assert rate.fraction == pytest.approx(lost / 200)


def test_counting_resumes():
    rate, again = SkipRate(), SkipRate()
    read_until(rate, 6, 500, {(0, 1), (1, 7)}, 900, random.Random(0))
    again.load_state_dict(rate.state_dict())
    assert again.sources == rate.sources and again.fraction == rate.fraction > 0


def whole(sample, rng):
    if sample["txt"].startswith(b"broken"):
        raise ValueError("not a readable image: damaged")
    segment = Segment()
    segment.add(list(range(rng.randint(30, 90))), learn=True)
    return segment


def shards(folder, broken, count=6, size=100):
    """Shards of samples, of which those whose number `broken` is true for cannot be used."""
    return [
        str(
            write_samples(
                folder / f"{s}.tar",
                {
                    f"{s:03d}{i:03d}": {"txt": b"broken" if broken(s * size + i) else b"words"}
                    for i in range(size)
                },
            )
        )
        for s in range(count)
    ]


def two_rows(stream, look_ahead=64):
    return PackedReader(stream, 256, 2, look_ahead=look_ahead)


def loader(found, seed=0, length=60, limit=LIMIT):
    reader = ReaderFactory({"a": Source(found, 1.0, whole)}, two_rows, seed, limit)
    return RankLoader(reader, length, max_skipped_fraction=limit)


def test_samples_in_the_look_ahead_are_no_reason_to_stop(tmp_path):
    """0.67% broken under a limit of 1%, in twenty orders: 256 documents wait while some ten are delivered."""
    found = shards(tmp_path, lambda number: number % 150 == 70)
    for seed in range(20):
        one = loader(found, seed, length=25)
        assert len(list(one)) == 25 and 0 < one.skipped.total <= 4 and 0 < one.rate.fraction < 0.02


@pytest.mark.parametrize(("every", "batches"), [(20, 60), (2, 5)])
def test_a_bad_set_stops_soon(tmp_path, every, batches):
    found = shards(tmp_path, lambda number: number % every == 0)
    given = []
    with pytest.raises(TooManySkipped, match=r"most often from a: not a readable image \("):
        given += loader(found)
    assert len(given) < batches


def test_a_set_without_a_good_sample_stops_before_its_end(tmp_path):
    read = []

    def refuse(sample, rng):
        read.append(sample["__key__"])
        raise ValueError("no")

    found = shards(tmp_path, bool, count=4, size=1500)
    stream = MixedStream({"a": Source(found, 1.0, refuse)}, 0, max_skipped_fraction=LIMIT)
    with pytest.raises(
        TooManySkipped, match="1000 samples of source 'a' in a row cannot be used: no, and 999 more"
    ):
        next(stream)
    assert len(read) == 1000


def test_a_stop_survives_a_resume(tmp_path):
    """Batches before and after: the count goes on, and stops where it would have."""
    found = shards(tmp_path, lambda number: number % 25 == 0)

    def stop(one, most=10**9):
        given = 0
        try:
            for _ in one:
                given += 1
                if given == most:
                    return given, False
        except TooManySkipped:
            return given, True
        return given, False

    at, stopped = stop(loader(found))
    assert stopped and at > 3
    first, again = loader(found), loader(found)
    stop(first, at - 2)
    again.load_state_dict(first.state_dict())
    assert stop(again) == (2, True)


def _rank(folder, rank):
    """Rank 1 alone reads a shard that is all broken."""
    dist.init_process_group("gloo")
    found = [str(folder / f"{s}.tar") for s in range(8)]
    one = RankLoader(partial(_reader, found), 60, max_skipped_fraction=LIMIT, readers=1)
    given = 0
    try:
        for _ in one:
            given += 1
    except TooManySkipped as error:
        return given, str(error), one.skipped.total
    return given, "", one.skipped.total


def _reader(found, shard_id, num_shards):
    own = found[:4] if shard_id == 0 else found[4:]
    return ReaderFactory({"a": Source(own, 1.0, whole)}, partial(two_rows, look_ahead=8), 0, LIMIT)(0, 1)


def test_all_ranks_stop_together(tmp_path):
    shards(tmp_path, lambda number: number >= 700, count=8)
    results = forked(partial(_rank, tmp_path), 2)
    assert results[0][:2] == results[1][:2] and results[0][2] == 0 < results[1][2]
    assert "samples were skipped" in results[0][1] and "not a readable image" in results[0][1]


def values(stream, n):
    return [item.value for item in islice(stream, n)]


def test_hostile_names_are_escaped_in_the_log(tmp_path, caplog):
    evil = "\x1b]0;owned\x07\x1b[2J\rall whole"
    shard = write_samples(tmp_path / "0.tar", {evil: {"txt": b"bad"}, "good": {"txt": b"good"}})

    def picky(sample, rng):
        if sample["txt"] == b"bad":
            raise ValueError(f"a text is {sample['__key__']}")
        return "good"

    stream, skipped = MixedStream({evil: Source([str(shard)], 1, picky)}, 0), SkipTally()
    values(stream, 5)
    skipped.add(stream.take_counts()[0])
    printed = caplog.text + skipped.most_frequent()
    assert not {"\x1b", "\x07", "\r"} & set(printed) and "\\x1b]0;owned" in printed
