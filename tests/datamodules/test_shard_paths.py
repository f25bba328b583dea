"""Shards behind a server that fails, stalls and cuts: whole ones arrive, hopeless ones are reported, nothing hangs."""

import re
from pathlib import Path

import pytest

from datamodules.shard_paths import declared_samples, find_shards, held_out
from tests.datamodules.tars import write_shards


def test_a_shard_named_twice_is_read_once_with_a_warning(tmp_path, caplog):
    (shard,) = write_shards(tmp_path, shards=1)
    (tmp_path / "link.tar").symlink_to(shard)
    assert find_shards([shard, f"{tmp_path}/./0.tar", f"{tmp_path}/link.tar"]) == [shard]
    assert "is named twice: it is read once" in caplog.text


@pytest.mark.parametrize("end", ["/*.tar", "/", "/0.tar.gz", "/{0..9", "/{0..9999999}.tar"])
def test_secrets_of_urls_are_not_in_errors(end):
    with pytest.raises(ValueError, match="https://host") as error:
        find_shards(f"https://user:PASSWORD@host{end}?sig=SIGNATURE")
    assert not re.search("PASSWORD|SIGNATURE", str(error.value))


def test_folders_patterns_and_lists(tmp_path):
    shards = write_shards(tmp_path / "a") + write_shards(tmp_path / "b", shards=2)
    assert find_shards(str(tmp_path / "a")) == shards[:3]
    assert find_shards(str(tmp_path / "a" / "{0..1}.tar")) == shards[:2]
    assert find_shards([str(tmp_path / "a"), str(tmp_path / "b")]) == shards
    assert find_shards(str(tmp_path / "a" / "{2..3}.tar"))[1].endswith("3.tar")  # to be counted as missing
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no shards at .*: put yours there"):
        find_shards(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="no shards are named"):
        find_shards([])
    with pytest.raises(FileNotFoundError, match="no shards at .*python -m worlds.playground.shards"):
        find_shards("runs/playground/data/nowhere")


def names(folder, places):
    return [str(Path(shard).relative_to(folder)) for shard in find_shards(places)]


def test_stars_nested_folders_and_capitals_find_all_shards(tmp_path):
    for name in ("00.tar", "02.TAR", "more/01.tar", "more/deep/03.Tar", "[a]/x.tar", "{b}/y.tar"):
        write_shards(tmp_path / "made", shards=1)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made/0.tar").rename(tmp_path / name)
    (tmp_path / "made").rmdir()
    for name in ("._00.tar", ".cache", "index.json", "00.txt"):
        (tmp_path / name).write_text("no shard")
    every = ["00.tar", "02.TAR", "[a]/x.tar", "more/01.tar", "more/deep/03.Tar", "{b}/y.tar"]
    assert names(tmp_path, str(tmp_path)) == every
    assert names(tmp_path, f"{tmp_path}/*") == every
    assert names(tmp_path, f"{tmp_path}/*.tar") == ["00.tar", "02.TAR"]
    assert names(tmp_path, f"{tmp_path}/**/*.tar") == every
    assert names(tmp_path, f"{tmp_path}/0?.tar") == ["00.tar", "02.TAR"]
    assert names(tmp_path, f"{tmp_path}/{{more,[a],{{b}}}}") == [
        "more/01.tar",
        "more/deep/03.Tar",
        "[a]/x.tar",
    ] + ["{b}/y.tar"]
    assert names(tmp_path, f"{tmp_path}/more/{{deep/*,*}}.tar") == ["more/deep/03.Tar", "more/01.tar"]
    with pytest.raises(FileNotFoundError, match=r"no shards at .*/none\*"):
        find_shards(f"{tmp_path}/{{more,none*}}")


def test_links_to_shards_and_folders_are_followed_once(tmp_path, caplog):
    write_shards(tmp_path / "disk", shards=2)
    data = tmp_path / "data"
    data.mkdir()
    (data / "part").symlink_to(tmp_path / "disk")
    (data / "again").symlink_to(tmp_path / "disk")
    (data / "loop").symlink_to(data)
    (data / "one.tar").symlink_to(tmp_path / "disk/0.tar")
    (data / "gone.tar").symlink_to(tmp_path / "disk/9.tar")  # to be counted as missing
    assert names(data, str(data)) == ["again/1.tar", "gone.tar", "one.tar"]
    assert "again/0.tar is a link to a shard that is read already" in caplog.text
    assert names(data, [str(data / "part"), str(data / "part/0.tar")]) == ["part/0.tar", "part/1.tar"]
    assert "part/0.tar is named twice: it is read once" in caplog.text


def test_held_out_folders_are_read_only_where_they_are_named(tmp_path):
    for name in ("train", "train/val", "Test"):
        write_shards(tmp_path / name, shards=1)
    for place in (str(tmp_path), f"{tmp_path}/*", f"{tmp_path}/**/*.tar"):
        assert names(tmp_path, place) == ["train/0.tar"]
        assert held_out(place) == [str(tmp_path / "Test"), str(tmp_path / "train/val")]
    assert names(tmp_path, str(tmp_path / "train/val")) == ["train/val/0.tar"]
    assert names(tmp_path, f"{tmp_path}/Test/*.tar") == ["Test/0.tar"] and not held_out(f"{tmp_path}/Test")
    (tmp_path / "train/0.tar").unlink()
    with pytest.raises(FileNotFoundError, match="train/val is held out by its name: name it itself"):
        find_shards(str(tmp_path / "train"))


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("pipe:curl https://host/{0..9}.tar", "a command is not run"),
        (" PIPE:cat 0.tar", "a command is not run"),
        ("data/0.tar.gz", "is packed"),
        ("https://host/{0..9}.tar.zst?key=1", "is packed"),
        ("https://host/*.tar", "name them, as https://host/{00000..00099}.tar"),
        ("s3://bucket/folder/", "name them, as s3://bucket/folder/{00000..00099}.tar"),
        ("data/{0..999999999999}.tar", "names over 1,000,000 shards"),
        ("data/" + "{a,b}" * 40, "names over 1,000,000 shards"),
        ("data/{0..9.tar", "is no pattern that can be read"),
    ],
)
def test_unsupported_paths_are_refused_by_name(place, why):
    with pytest.raises(ValueError, match="^" + re.escape(place[:5])) as refused:
        find_shards(place)
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["1.tar.gz", "1.TGZ", "1.tar.zst", "more/1.tar.xz", "1.tar.bz2"])
def test_packed_shards_in_a_folder_are_refused_by_name(tmp_path, name):
    write_shards(tmp_path, shards=1)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"packed")
    with pytest.raises(ValueError, match=f"{name} is packed"):
        find_shards(str(tmp_path))
    (tmp_path / name).parent.joinpath("1.tar").write_bytes(b"unpacked")
    assert len(find_shards(str(tmp_path))) == 2


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[1, 2]",
        '"words"',
        '{"shards": ["0.tar"]}',
        '{"shards": null}',
        '{"shards": {"0.tar": null}}',
        '{"shards": {"0.tar": -3}}',
        '{"shards": {"0.tar": true}}',
        '{"shards": {"0.tar": 7.5}}',
        '{"shards": {"0.tar": {"samples": "7"}}}',
        '{"shards": {"0.tar"',
        "[" * 100_000,
    ],
)
def test_an_index_of_another_shape_declares_nothing(tmp_path, said):
    (tmp_path / "index.json").write_text(said)
    assert declared_samples(str(tmp_path / "0.tar")) is None


def test_an_index_declares_how_many_samples_there_are(tmp_path):
    (tmp_path / "index.json").write_text('{"shards": {"0.tar": 7, "1.tar": {"samples": 5}, "2.tar": "many"}}')
    assert [declared_samples(str(tmp_path / f"{i}.tar")) for i in range(4)] == [7, 5, None, None]
    assert declared_samples("http://somewhere/0.tar") is None
