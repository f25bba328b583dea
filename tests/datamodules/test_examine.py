"""What is examined of one shard: faults, what is missing by its index, what is unusual."""

import json
import os

import pytest

from datamodules import doctor
from datamodules.examine import examine
from datamodules.shard import BrokenShard, Shard
from datamodules.shard_paths import declared_samples
from tests.datamodules.odd_shards import folder
from tests.datamodules.tars import png, write_samples, write_tar

__all__ = ["folder"]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_a_broken_shard_and_nothing_waits_for_it(tmp_path, kind):
    os.mkfifo(tmp_path / "0.tar") if kind == "pipe" else os.symlink("/dev/zero", tmp_path / "0.tar")
    with pytest.raises(BrokenShard, match="cannot be opened: it is no plain file"):
        Shard(tmp_path / "0.tar")
    found = examine(str(tmp_path / "0.tar"))
    assert [fault.reason for fault in found.faults] == ["the shard cannot be opened: it is no plain file"]


def test_missing_samples_are_found_by_the_index(folder):
    doctor.main([str(folder), "--workers", "1"])
    index = json.loads((folder / "index.json").read_text())
    assert index["shards"]["0.tar"]["samples"] == 11 and index["shards"]["0.tar"]["good"] == 8
    assert len(index["shards"]["1.tar"]["sha256"]) == 64 and declared_samples(str(folder / "1.tar")) == 5
    write_samples(folder / "1.tar", {"0": {"png": png(), "txt": b"alone"}})
    faults = doctor.examine(str(folder / "1.tar")).faults
    assert [fault.reason for fault in faults] == [
        "the shard holds fewer samples than its index.json says: 1 of 5"
    ]


def test_dots_leftovers_and_a_stale_index_are_remarked(tmp_path, capsys):
    members = [
        (f"shop 2.{i} final.{end}", data) for i in range(8) for end, data in (("png", png(i)), ("txt", b"x"))
    ]
    write_tar(tmp_path / "0.tar", [*members, ("._left.jpg", b"x")])
    (tmp_path / "index.json").write_text('{"shards": {"0.tar": 5}}')
    assert doctor.main([str(tmp_path), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "samples with dots in their names are read whole: 8, as 'shop 2.0 final'" in printed
    assert "1 members are left by a file manager" in printed and "8 of 8 samples" in printed
    assert "the shard holds more samples than its index.json says: 8 of 5" in printed
    (tmp_path / "val").mkdir()
    (tmp_path / "0.tar").rename(tmp_path / "val/0.tar")
    write_tar(tmp_path / "1.tar", [("a.jpg", png()), ("a.png", png()), ("a.txt", b"x")])
    assert doctor.main([str(tmp_path), "--workers", "1", "--report", str(tmp_path / "out")]) == 0
    assert "val is held out by its name, and was not looked at" in capsys.readouterr().out
    odd = json.loads((tmp_path / "out/doctor.json").read_text())["unusual"]
    assert {o["why"] for o in odd} == {"more than one image, of which one is used"}
