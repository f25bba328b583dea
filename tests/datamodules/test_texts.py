"""Texts of shards: all of them, in order; a shard that is damaged, or holds none, is named."""

import json
import random

import pytest

from datamodules.texts import read_texts
from tests.datamodules.tars import write_samples

SETTING = "model.init_args.text_tokenizer.shards"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda whole: whole[:3000], "cannot be read"),
        (lambda whole: whole[:1024] + b"\xff" * 2000 + whole[3024:], "cannot be read"),
        (lambda whole: random.Random(0).randbytes(9000), "cannot be read"),
        (lambda whole: b"", "cannot be read"),
        (lambda whole: bytes(10240), "cannot be read"),
        (None, "holds no texts"),
    ],
    ids=["cut", "damaged", "no tar", "empty", "zeros", "images"],
)
def test_a_damaged_shard_is_named(tmp_path, damage, why):
    good = {f"{i}": {"txt": f"number {i} ".encode() * 100, "png": b"x" * 700} for i in range(4)}
    whole = write_samples(tmp_path / "0.tar", good).read_bytes()
    if damage is None:
        write_samples(tmp_path / "1.tar", {"a": {"png": b"x"}})
    else:
        (tmp_path / "1.tar").write_bytes(damage(whole))
    with pytest.raises(ValueError, match=rf"{SETTING}: .*1.tar {why}"):
        read_texts(f"{tmp_path}/{{0..1}}.tar", SETTING)


def test_shards_of_all_kinds_are_read_or_refused(tmp_path, caplog):
    talk = {
        "conversations": [{"from": "human", "value": "zzyzx " * 50}, {"from": "gpt", "value": "quux"}, {}]
    }
    samples = {
        "a": {"json": json.dumps(talk).encode()},
        "b": {"json": b'{"parts": [{"see": "0.png"}, {"text": 7}, {"text": "xyzzy"}]}'},
        "c": {"json": b"[1]"},
        "d": {"json": b"{"},
        "e\x1b[2J": {"txt": b"caf\xe9"},
        "f": {"txt": b"short", "dense.txt": b"long"},
        "g": {"json": b'{"parts": [{"branches": [[{"text": "q"}], [{"text": "r"}]]}]}'},
    }
    write_samples(tmp_path / "0.tar", samples)
    texts = ["zzyzx " * 50, "quux", "xyzzy", "short", "long", "q", "r"]
    assert read_texts(f"{tmp_path}/0.tar", SETTING) == read_texts(str(tmp_path), SETTING) == texts
    assert "3 samples of" in caplog.text and "\x1b" not in caplog.text
    for shards, why in {
        "pipe:cat 0.tar": "a command is not run",
        f"{tmp_path}/9.tar": "no shards at",
    }.items():
        with pytest.raises(ValueError, match=f"{SETTING}: .*{why}"):
            read_texts(shards, SETTING)


def test_no_further_shard_is_opened_once_there_are_enough_texts(tmp_path):
    for name in "01":
        write_samples(tmp_path / f"{name}.tar", {f"{i}": {"txt": b"word"} for i in range(5)})
    assert len(read_texts(str(tmp_path), SETTING, limit=3)) == 5
