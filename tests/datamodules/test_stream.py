"""The stream: the seed fixes it, it goes on exactly where it was cut, and counts what is broken."""

import io
import tarfile
from collections import Counter
from itertools import islice

import pytest

from datamodules.loader import BatchStream, RankLoader
from datamodules.stream import MixedStream, Source, find_shards


def write_shards(folder, shards=3, samples=7, name="a"):
    folder.mkdir(parents=True, exist_ok=True)
    for s in range(shards):
        with tarfile.open(folder / f"{s}.tar", "w") as tar:
            for i in range(samples):
                content = f"{name}{s}-{i}".encode()
                member = tarfile.TarInfo(f"{s:03d}{i:03d}.txt")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return find_shards(str(folder))


def words(sample, rng):
    return sample["txt"].decode() + f"/{rng.random():.6f}"


@pytest.fixture
def sources(tmp_path):
    return {
        "a": Source(write_shards(tmp_path / "a", name="a"), 0.75, words),
        "b": Source(write_shards(tmp_path / "b", shards=1, name="b"), 0.25, words),
    }


def test_a_seed_fixes_the_order(sources):
    first, again, other = (list(islice(MixedStream(sources, seed), 60)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_turn_gives_each_sample_once_and_turns_differ(sources):
    stream = MixedStream({"a": sources["a"]}, 0)
    turns = [list(islice(iter(stream), 21)), list(islice(iter(stream), 0))]
    assert max(Counter(w.split("/")[0] for w in turns[0]).values()) == 1
    items = iter(MixedStream({"a": sources["a"]}, 0))
    one, two = list(islice(items, 21)), list(islice(items, 21))
    names = [[w.split("/")[0] for w in turn] for turn in (one, two)]
    assert sorted(names[0]) == sorted(names[1]) and names[0] != names[1]


def test_weights_are_kept(sources):
    counts = Counter(w[0] for w in islice(MixedStream(sources, 3), 2000))
    assert 0.70 < counts["a"] / 2000 < 0.80


@pytest.mark.parametrize("cut", [1, 8, 25, 50])
def test_it_goes_on_where_it_was_cut(sources, cut):
    whole = list(islice(MixedStream(sources, 5), 80))
    stream = MixedStream(sources, 5)
    head = list(islice(stream, cut))
    rest = MixedStream(sources, 5)
    rest.load_state_dict(stream.state_dict())
    assert head + list(islice(rest, 80 - cut)) == whole


@pytest.mark.parametrize("parts", [2, 4])
def test_readers_share_a_turn_without_overlap(sources, parts):
    seen = [list(islice(MixedStream({"a": sources["a"]}, 0, p, parts), 5)) for p in range(parts)]
    flat = [w for part in seen for w in part]
    assert len(set(flat)) == len(flat)


def test_broken_samples_are_counted_and_the_rest_arrive(sources):
    def picky(sample, rng):
        if sample["txt"].endswith(b"-3"):
            raise ValueError("broken")
        return sample["txt"]

    stream = MixedStream({"a": Source(sources["a"].shards, 1, picky)}, 0)
    items = list(islice(stream, 18))
    assert len(set(items)) == 18 and sum(stream.skipped.values()) == 3


def test_a_source_without_one_good_sample_stops_with_a_word(sources):
    def refuse(sample, rng):
        raise ValueError("no")

    with pytest.raises(ValueError, match="source 'a' gave not one good sample"):
        next(iter(MixedStream({"a": Source(sources["a"].shards, 1, refuse)}, 0)))


def test_no_shards_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards at .*python -m playground.shards"):
        find_shards(str(tmp_path))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_resumes_in_the_middle_and_in_a_later_epoch(sources, workers):
    def loader():
        return RankLoader(
            BatchStream(lambda part, parts: MixedStream(sources, 7, part, parts), "|".join, 4, 6),
            batch_size=None,
            num_workers=workers,
        )

    whole = loader()
    batches = [list(whole), list(whole)]
    assert len(batches[0]) == 6
    cut = loader()
    list(cut) if workers == 0 else None
    epoch = 1 if workers == 0 else 0
    items = iter(cut)
    head = [next(items) for _ in range(2)]
    again = loader()
    again.load_state_dict(cut.state_dict())
    assert head + list(again) == batches[epoch]
