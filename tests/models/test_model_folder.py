"""A model folder may be anybody's: what is wrong with its files is one line that names one, soon, in little memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.folder_hash import folder_hash
from models.unified import Illume
from tests.models.conftest import refusal

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"


TOPS = {
    "empty": b"",
    "no parts": b"{}",
    "list": b"[]",
    "list of parts": b'{"components": ["encoder"]}',
    "cut": b"{",
    "deep": b"[" * 1_000_000,
    "unhashable class": b'{"components": {"encoder": ["x"]}}',
    "another component's class": b'{"components": {"encoder": "DiffusionDetokenizer"}}',
    "a path": b'{"components": {"../../etc": "VisionEncoder"}}',
    "utf-16": '{"components": {}}'.encode("utf-16-le"),
    "fingerprints of another shape": b'{"components": {}, "fingerprints": [1]}',
}


@pytest.mark.parametrize("kind", TOPS)
def test_a_broken_manifest_is_refused(folder: Path, kind: str) -> None:
    (folder / "illume.json").write_bytes(TOPS[kind])
    assert "illume.json" in refusal(folder)


@pytest.mark.parametrize("content", [b"[1]", b'"x"', b"null", b"[" * 1_000_000, b"\xff\xfe\xfa", b"{}"])
def test_a_broken_config_is_refused(folder: Path, content: bytes) -> None:
    (folder / "language" / "config.json").write_bytes(content)
    assert "language/config.json" in refusal(folder)


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [pipe, Path.mkdir, lambda p: p.symlink_to(p.name), lambda p: p.symlink_to("/dev/zero")]
)
@pytest.mark.parametrize("name", ["illume.json", "language/config.json", "language/model.safetensors"])
def test_special_files_are_refused(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)
    assert name.rpartition("/")[2] in refusal(folder)


POINTED = (
    "illume.json",
    "language/config.json",
    "encoder/model.safetensors",
    "text_tokenizer/tokenizer.json",
)


@pytest.mark.parametrize("name", (*POINTED, "text_tokenizer/tokenizer_config.json"))
def test_a_git_lfs_pointer_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER)
    line = refusal(folder)
    assert line.startswith(f"{folder / name} is a git-lfs pointer") and "git lfs pull" in line


def test_save_and_load_give_the_same_drawings(illume, images, tmp_path):
    illume.save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    assert torch.equal(illume.draw_batch(["a red circle"], [3]), again.draw_batch(["a red circle"], [3]))
    assert illume.ask_batch(images[:2], ["describe"] * 2) == again.ask_batch(images[:2], ["describe"] * 2)
    assert torch.equal(illume.encode(images), again.encode(images))
    again.save_pretrained(str(tmp_path / "twice"))
    assert folder_hash(tmp_path / "model") == folder_hash(tmp_path / "twice")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a model folder"):
        Illume.from_pretrained(str(tmp_path))


def test_a_config_with_an_unknown_key_is_refused(illume, tmp_path):
    illume.save_pretrained(str(tmp_path))
    config = tmp_path / "encoder/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"widht": 3}))
    with pytest.raises(ValueError, match="encoder/config.json has no setting 'widht': did you mean width"):
        Illume.from_pretrained(str(tmp_path))
    config.write_text("{")
    with pytest.raises(ValueError, match="encoder/config.json, line 1: not valid JSON"):
        Illume.from_pretrained(str(tmp_path))
