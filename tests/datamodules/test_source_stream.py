"""The stream: the seed fixes it, it goes on exactly where it was cut, and counts what is broken."""

import json
from collections import Counter
from pathlib import Path

import pytest

from datamodules.skips import SkipTally
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from tests.datamodules.tars import write_samples, write_shards
from tests.datamodules.text_sources import sources, values, words

__all__ = ["sources"]


def test_an_epoch_gives_each_sample_once_and_epochs_differ(sources):
    stream = MixedStream({"a": sources["a"]}, 0)
    one, two = ([w.split("/")[0] for w in values(stream, 21)] for _ in range(2))
    assert (
        sorted(one) == sorted(two) == sorted(f"a{s}-{i}" for s in range(3) for i in range(7)) and one != two
    )


def test_shards_are_mixed(tmp_path):
    stream = MixedStream({"a": Source(write_shards(tmp_path, shards=8, samples=20), 1, words)}, 0)
    shards = [w[1] for w in values(stream, 40)]
    assert len(set(shards)) >= 4 and sum(a != b for a, b in zip(shards, shards[1:], strict=False)) > 20


@pytest.mark.parametrize("num_shards", [2, 3, 4])
def test_readers_share_an_epoch_without_overlap(sources, num_shards):
    streams = [MixedStream({"a": sources["a"]}, 0, shard_id, num_shards) for shard_id in range(num_shards)]
    seen = []
    for stream in streams:
        for item in stream:
            if item.address.epoch > 0:
                break
            seen.append(item.value.split("/")[0])
    assert sorted(seen) == sorted(f"a{s}-{i}" for s in range(3) for i in range(7))


def test_broken_samples_are_counted_once_and_the_rest_arrive(sources):
    def picky(sample, rng):
        if sample["txt"].endswith(b"-3"):
            raise ValueError("broken: it ends in 3")
        return sample["txt"]

    stream, skipped = MixedStream({"a": Source(sources["a"].shards, 1, picky)}, 0), SkipTally()
    items = values(stream, 18 * 3)
    skipped.add(stream.take_counts()[0])
    assert len(set(items)) == 18 and set(Counter(items).values()) == {3}
    assert skipped.counts == {("a", "broken"): 3} and stream.take_counts()[0] == []


def test_broken_shards_are_counted_once_and_the_rest_arrive(tmp_path):
    good = write_shards(tmp_path, shards=3)
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "torn.tar").write_bytes(Path(good[0]).read_bytes()[:-9000])
    (tmp_path / "index.json").write_text(json.dumps({"shards": {"2.tar": 9}}))
    shards = [*good, *(str(tmp_path / name) for name in ("empty.tar", "torn.tar", "gone.tar"))]
    stream, skipped = MixedStream({"a": Source(shards, 1, words)}, 0), SkipTally()
    seen = {w.split("/")[0] for w in values(stream, 100)}
    skipped.add(stream.take_counts()[0])
    assert {f"a{s}-{i}" for s in range(3) for i in range(7)} <= seen
    assert skipped.counts == {
        ("a", "the shard is an empty file"): 1,
        ("a", "the shard is missing"): 1,
        ("a", "the shard is cut short or damaged"): 1,
        ("a", "the shard holds fewer samples than its index.json says"): 2,
    }


def test_a_sample_that_lost_its_end_with_its_shard_is_not_counted_twice(tmp_path):
    path = write_samples(tmp_path / "a.tar", {str(i): {"jpg": b"x" * 700, "txt": b"word"} for i in range(3)})
    content = path.read_bytes()
    at = content.rindex(b"2.txt")
    path.write_bytes(content[:at])
    stream, skipped = MixedStream({"a": Source([str(path)], 1, words)}, 0), SkipTally()
    assert len({w.split("/")[0] for w in values(stream, 8)}) == 1
    skipped.add(stream.take_counts()[0])
    assert skipped.counts == {("a", "the shard is cut short or damaged"): 1}


def test_dots_and_a_stale_index_are_reported_once_and_not_counted(tmp_path, caplog):
    shards = [
        str(write_samples(tmp_path / f"{s}.tar", {f"v1.{i} {s}": {"txt": b"word"} for i in range(3)}))
        for s in range(3)
    ]
    (tmp_path / "index.json").write_text(json.dumps({"shards": {"0.tar": 2, "1.tar": 3}}))
    stream, skipped = MixedStream({"a": Source(shards, 1, words)}, 0), SkipTally()
    assert len(values(stream, 30)) == 30
    skipped.add(stream.take_counts()[0])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and not skipped.total and not skipped.most_frequent()
    assert any("samples with dots in their names are read whole: 3, as 'v1.0 " in one for one in said)
    assert any("more samples than its index.json says: 3 of 2" in one for one in said)


def test_a_shard_that_was_replaced_while_the_run_was_off_is_refused(tmp_path):
    """Even by one of as many samples; one that is the same, or is replaced in another turn, will do."""

    def shard(first):
        return str(
            write_samples(tmp_path / "0.tar", {f"{first + i:03d}": {"txt": b"word"} for i in range(20)})
        )

    sources = {"a": Source([shard(0)], 1, words)}
    stream = MixedStream(sources, 5)
    head = values(stream, 5)
    state = json.loads(json.dumps(stream.state_dict()))
    shard(0)
    same = MixedStream(sources, 5)
    same.load_state_dict(state)
    assert head + values(same, 15) == values(MixedStream(sources, 5), 20)
    shard(500)
    other = MixedStream(sources, 5)
    other.load_state_dict(state)
    with pytest.raises(
        ValueError, match="0.tar is not what it was when this run read from it: put that back"
    ):
        next(other)
    assert len(values(stream, 15)) == 15  # a running one holds what it opened
    assert len(set(values(stream, 20))) == 20


def test_a_folder_or_a_disk_that_fails_is_a_broken_shard(tmp_path):
    good = write_shards(tmp_path, shards=1)
    (tmp_path / "folder.tar").mkdir()
    stream, skipped = (
        MixedStream({"a": Source([*good, str(tmp_path / "folder.tar")], 1, words)}, 0),
        SkipTally(),
    )
    assert len(values(stream, 14)) == 14
    skipped.add(stream.take_counts()[0])
    assert skipped.counts == {("a", "the shard cannot be opened"): 1}


def test_a_source_without_one_good_sample_is_an_error(sources):
    def refuse(sample, rng):
        raise ValueError("no")

    with pytest.raises(ValueError, match="source 'a' gave not one good sample: no, and 41 more"):
        next(MixedStream({"a": Source(sources["a"].shards, 1, refuse)}, 0))


@pytest.mark.parametrize("counts", [[1], [3], [3, 2], [1, 1, 1], [3, 0, 0, 0], [1, 0]], ids=str)
@pytest.mark.parametrize("num_shards", [4, 9])
def test_sets_of_fewer_samples_than_readers_train(tmp_path, counts, num_shards):
    paths = []
    for i, count in enumerate(counts):
        samples = {f"{i}{n}": {"txt": f"{i}{n}".encode()} for n in range(count)}
        paths.append(str(write_samples(tmp_path / f"shard-{i}.tar", samples)))
    source = {"a": Source(paths, 1.0, words)}
    read = Counter()
    for shard_id in range(num_shards):
        stream = MixedStream(source, 0, shard_id, num_shards, max_skipped_fraction=0.01)
        given = values(stream, 20)
        read.update(word.split("/")[0] for word in given)
        assert given == values(MixedStream(source, 0, shard_id, num_shards), 20)
        assert {skip.reason for skip in stream.take_counts()[0]} == (
            {"the shard holds no samples"} if 0 in counts else set()
        )
        again = MixedStream(source, 0, shard_id, num_shards)
        values(again, 7)
        resumed = MixedStream(source, 0, shard_id, num_shards)
        resumed.load_state_dict(json.loads(json.dumps(again.state_dict())))
        assert given[7:] == values(resumed, 13)  # it goes on exactly there
    assert len(read) == sum(counts) and max(read.values()) < 4 * min(read.values())


def test_a_reader_whose_shard_is_broken_reads_others_in_its_next_epoch(tmp_path):
    paths = [str(tmp_path / f"shard-{i}.tar") for i in range(4)]
    for i, path in enumerate(paths[1:]):
        write_samples(Path(path), {f"{i}{n}": {"txt": b"x"} for n in range(3)})
    Path(paths[0]).write_bytes(b"no tar")
    for part in range(4):
        assert len(values(MixedStream({"a": Source(paths, 1.0, words)}, 0, part, 4), 400)) == 400
