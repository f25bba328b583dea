"""Codes computed in advance give the batches that training would make; stale ones are refused; a cut-off run goes on."""

import tarfile
from contextlib import contextmanager

import pytest
import torch

from datamodules import tokenize
from datamodules.shard_paths import find_shards
from tests.datamodules.tars import png, write_samples, write_tar
from tests.datamodules.tokenized import loader, run, world
from tests.fixtures import tiny_illume

__all__ = ["tiny_illume", "world"]


@pytest.mark.parametrize("options", [[], ["--features"]])
def test_batches_are_those_of_tokenizing_on_the_fly(world, tiny_illume, options):
    assert [run(world, name, *options) for name in ("pairs", "edits", "stories")] == [0, 0, 0]
    pairs = list(zip(loader(world, "data", tiny_illume), loader(world, "codes", tiny_illume), strict=True))
    for plain, ahead in pairs:
        features, codes = tiny_illume.encode_images(plain)
        features_too, codes_too = tiny_illume.encode_images(ahead)
        assert len(codes) and torch.equal(codes, codes_too)
        assert torch.allclose(features, features_too, atol=1e-6)
        language = tiny_illume.language
        assert torch.equal(language.with_codes(plain, codes), language.with_codes(ahead, codes_too))
        assert (ahead.draw_images == -1).all() and len(ahead.images) < len(plain.images)
        assert not options or not len(ahead.images)


def test_resume_is_exact(world, capsys):
    run(world, "pairs")
    whole = {path.name: path.read_bytes() for path in (world / "codes/pairs").glob("*.tar")}
    first = next((world / "codes/pairs").glob("*.tar"))
    first.with_suffix(".tmp").write_bytes(first.read_bytes()[:1000])
    first.unlink()
    assert run(world, "pairs") == 0
    assert {path.name: path.read_bytes() for path in (world / "codes/pairs").glob("*.tar")} == whole


def test_broken_samples_are_left_to_training(tmp_path, world, capsys):
    folder = world / "data/broken"
    samples = {"a": {"png": png(1), "txt": b"good"}, "b": {"png": png()[:50], "txt": b"cut"}}
    write_samples(folder / "0.tar", samples)
    (folder / "1.tar").write_bytes(b"")
    assert run(world, "broken") == 1
    assert "left out" in capsys.readouterr().out
    with tarfile.open(world / "codes/broken/0.tar") as tar:
        names = tar.getnames()
    assert [name.startswith("a.codes.") for name in names] == [False, False, True, False, False]
    assert not (world / "codes/broken/1.tar").exists()


def test_a_signature_in_a_url_is_in_no_name_and_no_line(tmp_path, tiny_illume, monkeypatch):
    """A shard of that name, without the signature, is found again; what is odd in it is named without."""
    write_samples(tmp_path / "0.tar", {"a": {"png": png(1), "txt": b"a"}, "b": {"png": b"x", "txt": b"b"}})
    copy = contextmanager(lambda place: iter([str(tmp_path / "0.tar")]))
    monkeypatch.setattr(tokenize, "local_copy", copy)
    url = "https://user:PASSWORD@host/0.tar?sig=SIGNATURE"
    made = tokenize.tokenize(tiny_illume, [url], tmp_path / "out")
    assert find_shards(str(tmp_path / "out")) == [str(tmp_path / "out/0.tar")]
    assert list(made.lines()) == [
        "1 without codes: not a readable image, no image (first: https://host/0.tar b.png)"
    ]


def test_unreadable_images_are_counted_and_no_codes_are_an_error(world, capsys):
    folder = world / "data/odd"
    cut = {"png": png()[:50], "txt": b"cut"}
    samples = {
        "a": {"png": png(1), "txt": b"good"},
        "b\x1b[2J": cut,
        "c": {"png": b"text", "txt": b"no image"},
    }
    write_tar(
        folder / "0.tar",
        [(f"{k}.{e}", d) for k, s in samples.items() for e, d in s.items()] + [("noend", b"")],
    )
    write_samples(folder / "1.tar", {"a": {"png": b"", "txt": b"empty"}})
    write_tar(folder / "2.tar", [("noend", b"")])
    assert run(world, "odd") == 1  # for 2.tar
    printed = capsys.readouterr().out
    assert "tokenize: 2 without codes: not a readable image, no image (first: " in printed
    assert (
        "tokenize: 1 without codes: not a readable image, cut short (first: " in printed
        and "\x1b" not in printed
    )
    assert "0.tar b\\x1b[2J.png)" in printed and "1 without codes: a member's name has no ending" in printed
    assert "2.tar: none of its samples can be read" in printed and "tokenize: 1 images have codes" in printed
    assert not (world / "codes/odd/2.tar").exists()
    (folder / "2.tar").unlink()
    assert run(world, "odd") == 0 and "2 shards were there already" in capsys.readouterr().out
    write_samples(world / "data/none/0.tar", samples := {"a": {"png": b"text", "txt": b"no image"}})
    assert run(world, "none") == 1 and "tokenize: 0 images have codes" in capsys.readouterr().out
    for name in ("part-a", "part-b"):
        write_samples(world / "data/twice" / name / "00000.tar", samples)
    assert run(world, "twice") == 2
    assert "two of the shards are named 00000.tar: give each folder its own call" in capsys.readouterr().err


def test_another_tokenizer_needs_another_folder(world, tiny_illume, capsys):
    run(world, "pairs")
    with torch.no_grad():
        tiny_illume.tokenizer.codebook.add_(0.1)
    tiny_illume.save_pretrained(str(world / "model"))
    assert run(world, "pairs") == 2
    assert (
        "holds what another tokenizer, another call or an older version made: name another"
        in capsys.readouterr().err
    )
