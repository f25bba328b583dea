"""Names with dots, links, leftovers and names that are no UTF-8: no sample is lost, merged or made up."""

import io
import subprocess
import tarfile

import pytest

from datamodules.shard import BrokenShard, Shard
from tests.datamodules.tars import write_tar
from tests.datamodules.test_shard import read_all


def pair(name, content=b"x"):
    return [(f"{name}.jpg", content + b" seen"), (f"{name}.txt", content + b" said")]


def test_dots_in_keys_stay_samples_of_their_own(tmp_path):
    names = ["shop 2.0 final", "shop 2.1 final", "2024.01.05", "2024.01.06", "img.0001", "img.0002", "a.b."]
    path = write_tar(tmp_path / "a.tar", [m for name in names for m in pair(name, name.encode())])
    good, faults, shard = read_all(path)
    assert list(good) == names == shard.dotted and not faults
    assert good["2024.01.06"] == {"jpg": b"2024.01.06 seen", "txt": b"2024.01.06 said"}


def test_endings_with_dots_are_endings_still(tmp_path):
    """A document's images, a second caption, codes made ahead: with dots in the key or without."""
    of = {"json", "0.png", "1.png", "0.codes.0123456789ab.npy"}
    members = [(f"{key}.{ending}", b"x") for key in ("doc", "v1.5/doc", "doc 2.5") for ending in sorted(of)]
    members += [(f"pair.{ending}", b"x") for ending in ("dense.txt", "jpg", "seg.png", "txt")]
    good, faults, shard = read_all(write_tar(tmp_path / "a.tar", members))
    assert {key: set(sample) for key, sample in good.items()} == {
        "doc": of,
        "v1.5/doc": of,
        "doc 2.5": of,
        "pair": {"dense.txt", "jpg", "seg.png", "txt"},
    }
    assert not faults and shard.dotted == ["doc 2.5"]


def test_a_name_that_may_be_of_two_samples_is_named(tmp_path):
    members = [*pair("shop 2"), *pair("shop 2.0 final"), *pair("shop 3")]
    good, faults, _ = read_all(write_tar(tmp_path / "a.tar", members))
    assert list(good) == ["shop 3"]
    assert faults == ["a name with dots may be of a sample of its own: shop 2.0 final.jpg; rename it without"]


def test_scattered_members_are_reported_with_dots_too(tmp_path):
    (one, two), other = pair("shop 2.0 final"), pair("shop 2.1 final")
    good, faults, _ = read_all(write_tar(tmp_path / "a.tar", [one, *other, two]))
    assert list(good) == ["shop 2.1 final"] and faults == ["its members do not stand together"]


def test_links_within_a_shard_are_followed(tmp_path):
    """As tar writes files that are linked on the disk; a link to somewhere else is reported."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:

        def add(name, content=b"", kind=tarfile.REGTYPE, target=""):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            tar.addfile(member, io.BytesIO(content))

        add("./in/0.jpg", b"seen")
        add("./in/0.txt", b"said")
        add("./in/1.jpg", kind=tarfile.LNKTYPE, target="./in/0.jpg")
        add("./in/1.txt", b"said again")
        add("./in/2.jpg", kind=tarfile.SYMTYPE, target="../in/3.jpg")  # a link to a link that comes later
        add("./in/2.txt", b"more")
        add("./in/3.jpg", kind=tarfile.SYMTYPE, target="0.jpg")
        add("./in/3.txt", b"most")
        add("./in/4.jpg", kind=tarfile.SYMTYPE, target="4.jpg")
        add("./in/5.jpg", kind=tarfile.LNKTYPE, target="in/gone.jpg")
        add("./in/6.jpg", kind=tarfile.SYMTYPE, target="../../etc/passwd")
        add("./in/7.jpg", kind=tarfile.FIFOTYPE)
    good, faults, _ = read_all(tmp_path / "a.tar")
    assert {key: sample["jpg"] for key, sample in good.items()} == {f"in/{i}": b"seen" for i in range(4)}
    assert [fault.partition(",")[0] for fault in faults] == [
        "a member is no plain file: a link to 4.jpg",
        "a member is no plain file: a link to in/gone.jpg",
        "a member is no plain file: a link to ../../etc/passwd",
        "a member is no plain file",
    ]


def test_leftovers_are_ignored_and_reported(tmp_path):
    left = ["._0.jpg", "in/._0.txt", ".DS_Store", "__MACOSX/in/0.jpg", "Thumbs.db", "in/desktop.ini"]
    members = [(name, b"left") for name in left]
    path = write_tar(tmp_path / "a.tar", [*members[:2], *pair("in/0"), *members[2:], (".hidden.jpg", b"x")])
    good, faults, shard = read_all(path)
    assert list(good) == ["in/0"] and shard.ignored == left
    assert faults == ["a member's name begins with a dot"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_names_that_are_no_utf8_keep_their_bytes(tmp_path, form):
    names = [
        word.decode("utf-8", "surrogateescape") for word in ("红色".encode("gbk"), "é".encode("latin-1"))
    ]
    with tarfile.open(
        tmp_path / "a.tar", "w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for name, content in (member for own in names for member in pair(own)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    good, faults, _ = read_all(tmp_path / "a.tar")
    assert list(good) == names and not faults


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ],
)
def test_sparse_files_are_read_whole(tmp_path, options):
    """Files with holes, of more pieces than one header has room for, as `tar -S` lays them."""
    folder, content = tmp_path / "in", {}
    folder.mkdir()
    for name, pieces in {"0.jpg": [0], "0.txt": [1], "1.jpg": range(1, 80, 2), "1.txt": []}.items():
        with open(folder / name, "wb") as file:
            for piece in pieces:
                file.seek(piece * 65536)
                file.write(bytes([piece + 1]) * 5000)
            file.truncate(82 * 65536)
        content[name] = (folder / name).read_bytes()
    made = subprocess.run(
        ["tar", "-C", folder, "-S", *options, "-cf", tmp_path / "a.tar", *sorted(content)],
        capture_output=True,
    )
    if made.returncode or (tmp_path / "a.tar").stat().st_size > 2**21:
        pytest.skip("no GNU tar here, or no holes in files")
    shard = Shard(tmp_path / "a.tar")
    assert shard.cut is None and len(shard) == 2
    read = {f"{i}.{ending}": shard.read(i)[ending] for i in range(2) for ending in ("jpg", "txt")}
    assert read == content


def test_concatenated_tars_are_read_to_the_end(tmp_path):
    one, two = (write_tar(tmp_path / f"{n}.tar", pair(n)).read_bytes() for n in "ab")
    (tmp_path / "both.tar").write_bytes(one + two)
    assert list(read_all(tmp_path / "both.tar")[0]) == ["a", "b"]
    (tmp_path / "hole.tar").write_bytes(one[:512] + bytes(2048) + b"what was" * 64 + two)
    assert "cut short or damaged" in Shard(tmp_path / "hole.tar").cut


def test_a_shard_without_samples_is_broken(tmp_path):
    with pytest.raises(BrokenShard, match="holds no samples"):
        Shard(write_tar(tmp_path / "none.tar", []))
    (tmp_path / "zeros.tar").write_bytes(bytes(2**20))
    with pytest.raises(BrokenShard, match="holds no samples"):
        Shard(tmp_path / "zeros.tar")
    with pytest.raises(BrokenShard, match="holds no samples"):
        Shard(write_tar(tmp_path / "left.tar", [(".DS_Store", b"x")]))


def _header(name, kind, size):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "bomb",
    [
        _header("a.jpg", tarfile.REGTYPE, 2**60),
        _header("a.jpg", tarfile.GNUTYPE_LONGNAME, 2**60),
        _header("a.jpg", tarfile.GNUTYPE_LONGNAME, 2**32),
        _header("a.jpg", tarfile.XHDTYPE, 2**34),
        _header("x", tarfile.GNUTYPE_LONGNAME, 0) * 3000,
        _header("a.jpg", tarfile.REGTYPE, 10) + b"x",
    ],
    ids=["size", "name", "name of 4 GiB", "pax", "names of names", "cut"],
)
def test_declared_sizes_are_checked(tmp_path, bomb):
    whole = write_tar(tmp_path / "a.tar", pair("0")).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:2048] + bomb)
    good, _, shard = read_all(tmp_path / "b.tar")
    assert list(good) == ["0"] and shard.cut is not None


def test_members_without_bytes_or_with_too_many_are_left_to_their_sample(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.sample_keys.MAX_MEMBER_BYTES", 10)
    members = [("0.jpg", b""), ("0.txt", b"none"), ("1.jpg", bytes(11)), ("1.txt", b"many"), *pair("2", b"")]
    good, faults, _ = read_all(write_tar(tmp_path / "a.tar", members))
    assert good["0"] == {"jpg": b"", "txt": b"none"} and list(good) == ["0", "2"]
    assert faults == ["a member is larger than 0 MiB"]
