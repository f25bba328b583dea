"""Published folders whose files are not what they should be are one line that names one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from models.language.pretrained import PretrainedLanguage
from models.tokenizer.pretrained_encoder import read_encoder
from tests.models.language.tiny_models import SIZES, publish
from tests.models.test_hostile_folders import POINTER


@pytest.fixture
def llm(tmp_path: Path) -> Path:
    publish(tmp_path / "llm")
    return tmp_path / "llm"


def said(folder: Path) -> str:
    with pytest.raises((ValueError, OSError)) as raised:
        PretrainedLanguage(str(folder), **SIZES).load()
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_git_lfs_pointer_in_a_published_folder_is_named(llm: Path, name: str) -> None:
    (llm / name).write_text(POINTER)
    assert f"{llm / name} is a git-lfs pointer" in said(llm) and "git lfs pull" in said(llm)


def test_a_tokenizer_of_a_newer_library_is_told(llm: Path) -> None:
    content = json.loads((llm / "tokenizer.json").read_text())
    content["model"]["type"] = "BPE2"
    (llm / "tokenizer.json").write_text(json.dumps(content))
    assert "tokenizer.json" in said(llm) and "newer library" in said(llm)


def test_published_weights_with_nan_are_refused(llm: Path) -> None:
    path = llm / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    name = next(name for name in tensors if name.endswith("mlp.up_proj.weight"))
    tensors[name][0, 0] = float("nan")
    save_file(tensors, path, {"format": "pt"})
    assert f"{llm} holds NaN or infinity in 1 tensors: {name};" in said(llm)


def test_a_published_encoder_with_nan_or_a_pointer_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=32, patch_size=16))
    patches = next(p for name, p in model.named_parameters() if name.endswith("patch_embedding.weight"))
    with torch.no_grad():
        patches.view(-1)[0] = float("inf")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds NaN or infinity in 1 tensors: .*patch_embedding.weight"):
        read_encoder(str(tmp_path), image_size=32)
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(ValueError, match="model.safetensors is a git-lfs pointer"):
        read_encoder(str(tmp_path), image_size=32)
