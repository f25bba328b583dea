"""Published folders whose files are not what they should be are one line that names one."""

import json
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from models import published
from models.language.pretrained import PretrainedLanguage
from models.published import check_download, check_files
from models.tokenizer.pretrained_encoder import read_encoder
from tests.models.language.tiny_models import SIZES, publish
from tests.models.test_model_folder import POINTER


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


def test_a_tokenizer_of_a_newer_library_is_reported(llm: Path) -> None:
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


SHA = "0" * 40


HUB_SIZES = {"config.json": 1000, "model-1.safetensors": 6 * 10**9, "model-2.safetensors": 7 * 10**9}


PICKLED = {"pytorch_model.bin": 26 * 10**9}


class Hub(BaseHTTPRequestHandler):
    """A hub with one model: names, sizes and no bytes."""

    sizes = HUB_SIZES

    def do_GET(self):
        sizes = self.server.sizes
        if "/tree/" in self.path:
            printed = [
                {
                    "type": "file",
                    "path": n,
                    "size": size,
                    "oid": SHA,
                    "lfs": {"oid": n, "size": size, "pointerSize": 1},
                }
                for n, size in sizes.items()
            ]
        else:
            printed = {"id": "lab/model", "sha": SHA, "siblings": [{"rfilename": name} for name in sizes]}
        self.answer({"Content-Type": "application/json"}, json.dumps(printed).encode())

    def do_HEAD(self):
        size = self.server.sizes[self.path.rpartition("/")[2]]
        self.answer({"X-Repo-Commit": SHA, "ETag": f'"{size}"', "X-Linked-Size": str(size)}, b"")

    def answer(self, headers, body):
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.sizes = HUB_SIZES
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    ask = partial(snapshot_download, endpoint=endpoint, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(published, "snapshot_download", ask)
    yield server
    server.shutdown()


def give(monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))


def test_downloads_larger_than_the_disk_are_refused(hub, monkeypatch):
    give(monkeypatch, 12 * 10**9)
    with pytest.raises(
        ValueError, match=r"lab/model has 13.0 GB of weights .* 12.0 GB free: make room, or set HF_HOME"
    ):
        check_files("lab/model", "main", False)
    give(monkeypatch, 14 * 10**9)
    check_files("lab/model", "main", False)


def test_pickles_count_where_no_safetensors_are_there(hub, monkeypatch):
    hub.sizes = HUB_SIZES | PICKLED
    give(monkeypatch, 14 * 10**9)
    check_files("lab/model", "main", True)  # safetensors are taken
    hub.sizes = PICKLED
    with pytest.raises(ValueError, match="26.0 GB of weights"):
        check_files("lab/model", "main", True)


def test_an_unreachable_hub_is_left_to_the_reader(hub, monkeypatch):
    give(monkeypatch, 0)
    hub.shutdown()
    hub.server_close()
    check_download("lab/model", "main", ["model*"])
