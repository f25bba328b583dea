"""Hashes of model folders."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from models.folder_hash import folder_hash
from models.unified import Illume
from tests.models.test_weights import COMPONENTS, another


def test_a_folder_replaced_while_read_is_read_again(
    illume: Illume, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models.model_folder as module

    other, load = another(illume, tmp_path / "other"), module._load_component
    loaded = []

    def replaced(path: Path, *more: Any) -> Any:
        loaded.append(path.name)
        part = load(path, *more)
        if len(loaded) == 1:  # after the encoder
            shutil.rmtree(folder)
            other.rename(folder)
        return part

    wanted = Illume.from_pretrained(str(other)).state_dict()
    monkeypatch.setattr(module, "_load_component", replaced)
    found = Illume.from_pretrained(str(folder)).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert loaded == ["encoder", *COMPONENTS]


def test_folder_hash_follows_links(illume: Illume, folder: Path, tmp_path: Path) -> None:
    """Two models that share components by links, in all but the language model, are two."""
    other, plain = another(illume, tmp_path / "other"), folder_hash(folder)
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert folder_hash(linked) == plain
    (linked / "language").unlink()
    (linked / "language").symlink_to(other / "language")
    assert folder_hash(linked) not in (plain, folder_hash(other))
    (linked / "tokenizer").unlink()
    shutil.copytree(folder / "tokenizer", linked / "tokenizer")
    before = folder_hash(linked)
    (linked / "tokenizer" / "model.safetensors").unlink()
    (linked / "tokenizer" / "model.safetensors").symlink_to(other / "tokenizer" / "model.safetensors")
    assert folder_hash(linked) != before
    (linked / "loop").symlink_to(linked)
    assert len(folder_hash(linked)) == 12
    (linked / "tokenizer" / "more.json").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"more\.json, a link to nowhere, is not there"):
        folder_hash(linked)
