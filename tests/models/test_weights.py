"""Weights that are damaged, of another model or kind, or not finite are one clear line; a full disk is."""

import copy
import errno
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models import weights
from models.unified import Illume
from models.weights import materialize
from tests.models.conftest import refusal

COMPONENTS = ("encoder", "tokenizer", "detokenizer", "language")


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../x.safetensors"}}']
)
def test_a_broken_index_is_refused(folder: Path, index: str) -> None:
    (folder / "language" / "model.safetensors").rename(folder / "language" / "x.safetensors")
    (folder / "language" / "model.safetensors.index.json").write_text(index)
    assert "model.safetensors.index.json" in refusal(folder)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, component: str, number: float) -> None:
    path = folder / component / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[-1] = number
    save_file(tensors, path)
    assert f"{folder / component} holds NaN or infinity in 1 tensors: {name};" in refusal(folder)


def test_weights_of_another_dtype_kind_are_refused(folder: Path) -> None:
    path = folder / "language" / "model.safetensors"
    save_file({name: tensor.to(torch.int32) for name, tensor in load_file(path).items()}, path)
    assert "language has misshapen" in refusal(folder) and "torch.int32 for" in refusal(folder)


def another(illume: Illume, folder: Path) -> Path:
    """A model of the same sizes and other weights."""
    with torch.no_grad():
        for parameter in illume.parameters():
            parameter.add_(0.01)
    illume.save_pretrained(str(folder))
    return folder


def test_components_of_two_models_are_refused(illume: Illume, folder: Path, tmp_path: Path) -> None:
    other = another(illume, tmp_path / "other")
    shutil.rmtree(folder / "language")
    shutil.copytree(other / "language", folder / "language")
    assert "language/model.safetensors is of another model than the folder's illume.json" in refusal(folder)
    assert refusal(other) == ""


def test_weights_without_a_fingerprint_load(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        save_file(load_file(path), path)
    assert refusal(folder) == ""


@pytest.mark.parametrize("size", [0, 7, 300, 5000])
def test_truncated_weights_are_refused(illume, tmp_path, size):
    illume.save_pretrained(str(tmp_path))
    weights = tmp_path / "language/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(
        ValueError,
        match=r"language/model.safetensors is no safetensors file, or is .*cut short: get it again",
    ):
        Illume.from_pretrained(str(tmp_path))


def test_a_full_disk_is_reported(illume, tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError) as error:
        illume.save_pretrained(str(tmp_path))
    assert error.value.errno == errno.ENOSPC and str(tmp_path) in error.value.filename


def test_materialize_recomputes_buffers_that_no_checkpoint_holds(illume):
    empty = copy.deepcopy(illume).to("meta")
    materialize(empty, torch.device("cpu"))
    empty.load_state_dict(illume.state_dict())
    found, wanted = dict(empty.named_buffers()), dict(illume.named_buffers())
    assert "language.trunk.rotary_emb.inv_freq" in found.keys() - illume.state_dict().keys()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], buffer) for name, buffer in wanted.items())
