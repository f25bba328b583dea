"""A shard gives every good sample by number, whatever was done to the file, and says what is wrong with the rest."""

import gzip
import io
import random
import subprocess
import sys
import tarfile

import pytest

from datamodules.shard import BrokenSample, BrokenShard, Shard
from tests.datamodules.tars import write_samples, write_tar

SAMPLES = {
    f"{i:04d}": {"txt": f"words {i}".encode() * (i + 1), "jpg": bytes([i]) * (700 * i + 1)} for i in range(8)
}


def read_all(path):
    """What can be read, by key, and the faults of the rest."""
    shard = Shard(path)
    good, faults = {}, []
    for i in range(len(shard)):
        try:
            sample = shard.read(i)
        except BrokenSample as error:
            faults.append(str(error))
            continue
        good[sample["__key__"]] = {
            ending: data for ending, data in sample.items() if not ending.startswith("__")
        }
    return good, faults, shard


def test_samples_come_back_in_any_order(tmp_path):
    path = write_samples(tmp_path / "a.tar", SAMPLES)
    shard = Shard(path)
    assert len(shard) == 8 and shard.cut is None
    for i in random.Random(0).sample(range(8), 8):
        sample = shard.read(i)
        assert {k: v for k, v in sample.items() if k in ("txt", "jpg")} == SAMPLES[sample["__key__"]]


@pytest.mark.parametrize("step", [1, 97])
def test_a_shard_cut_at_any_byte_gives_all_whole_samples(tmp_path, step):
    """Every byte of a small shard; every 97th of a longer one."""
    (one, both), (two, other), *_ = SAMPLES.items()
    samples = {one: both, two: {"txt": other["txt"]}} if step == 1 else SAMPLES
    whole = write_samples(tmp_path / "whole.tar", samples).read_bytes()
    ends = {}  # of each sample's last member
    with tarfile.open(tmp_path / "whole.tar") as tar:
        for member in tar:
            ends[member.name.split(".")[0]] = member.offset_data + member.size
        mark = tar.offset
    cut = tmp_path / "cut.tar"
    for size in range(0, min(len(whole), mark + 2 * tarfile.BLOCKSIZE + 2), step):
        cut.write_bytes(whole[:size])
        wanted = {key for key, end in ends.items() if end <= size}
        try:
            good, faults, shard = read_all(cut)
        except BrokenShard:
            assert not wanted, size
            continue
        assert all(good[key] == samples[key] for key in wanted), size
        parts = set(good) - wanted
        assert not faults and len(parts) <= 1, size  # a part of a sample, which is the last
        assert all(shard.may_be_cut([e.key for e in shard.entries].index(key)) for key in parts), size
        assert (shard.cut is None) == (size >= mark + tarfile.BLOCKSIZE), size


def test_non_shards_are_named(tmp_path):
    def reason(content):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(BrokenShard) as error:
            Shard(tmp_path / "x.tar")
        return str(error.value)

    whole = write_samples(tmp_path / "whole.tar", SAMPLES).read_bytes()
    assert reason(b"") == "the shard is an empty file"
    assert reason(gzip.compress(whole)).startswith("the shard is packed: unpack gzip first")
    assert reason(random.Random(0).randbytes(5000)).startswith("the shard is not a tar file")
    assert reason(whole[:300]).startswith("the shard is cut short or damaged")
    with pytest.raises(BrokenShard, match="the shard is missing"):
        Shard(tmp_path / "nowhere.tar")


def test_samples_before_a_damaged_header_are_read(tmp_path):
    path = write_samples(tmp_path / "a.tar", SAMPLES)
    with tarfile.open(path) as tar:
        offset = next(m.offset for m in tar if m.name == "0005.txt")
    content = bytearray(path.read_bytes())
    content[offset : offset + 512] = b"\xff" * 512
    path.write_bytes(content)
    good, faults, shard = read_all(path)
    assert set(good) == {f"{i:04d}" for i in range(5)} and not faults
    assert "cut short or damaged" in shard.cut


def test_random_bytes_anywhere_never_hang_or_crash(tmp_path):
    whole = write_samples(tmp_path / "a.tar", SAMPLES).read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        start = rng.randrange(len(content))
        length = rng.choice([1, 8, 100, 600])
        content[start : start + length] = rng.choice(
            [rng.randbytes(length), b"\xff" * length, b"-1 7" * length]
        )
        (tmp_path / "b.tar").write_bytes(content[: len(whole)])
        try:
            good, _, _ = read_all(tmp_path / "b.tar")
        except BrokenShard:
            continue
        assert len(good) <= len(SAMPLES) + 1


def test_samples_that_are_not_whole_or_not_safe_are_refused_alone(tmp_path):
    text = b"words"
    members = [
        ("good1.txt", text),
        ("apart.txt", text),
        ("good2.txt", text),
        ("apart.jpg", text),
        ("../../out.txt", text),
        ("/etc/out.txt", text),
        ("twice.txt", text),
        ("twice.txt", b"other"),
        ("noending", text),
        ("._good2.txt", b"what a Mac leaves"),
        ("good3.TXT", text),
    ]
    good, faults, _ = read_all(write_tar(tmp_path / "a.tar", members))
    assert good == {key: {"txt": text} for key in ("good1", "good2", "good3")}
    assert sorted(faults) == sorted(
        [
            "its members do not stand together",
            "a member's name leads out of the shard",
            "a member's name leads out of the shard",
            "two members have one name: twice.txt",
            "a member's name has no ending",
        ]
    )


def test_memory_does_not_grow_with_the_shard(tmp_path):
    """A quarter of a GiB, of which a process reads a few samples and the index."""
    with tarfile.open(tmp_path / "large.tar", "w") as tar:
        content = random.Random(0).randbytes(2**20)
        for i in range(256):
            member = tarfile.TarInfo(f"{i:04d}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    program = """
import resource, sys
from datamodules.shard import Shard
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, shard = peak(), Shard(sys.argv[1])
sizes = [len(shard.read(i)["jpg"]) for i in range(256)]
print(peak() - before, sum(sizes))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "large.tar")]
    grown, read = map(int, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    assert read == 256 * 2**20 and grown * 1024 < 16 * 2**20


def test_links_are_not_followed(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        good = tarfile.TarInfo("b.txt")
        good.size = 2
        tar.addfile(good, io.BytesIO(b"ok"))
    good, faults, _ = read_all(path)
    assert good == {"b": {"txt": b"ok"}}
    assert faults == ["a member is no plain file: a link to /etc/passwd, which is not in the shard"]


def test_long_names_are_read(tmp_path):
    name = "folder/" * 30 + "a.txt"
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = 2
        tar.addfile(member, io.BytesIO(b"ok"))
    assert list(read_all(tmp_path / "a.tar")[0]) == [name.removesuffix(".txt")]
