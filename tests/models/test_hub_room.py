"""Weights on the hub that are larger than the disk are told before they are downloaded, by a real server's answers."""

import json
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import snapshot_download

from models import published
from models.published import check_download, check_files

SHA = "0" * 40
SIZES = {"config.json": 1000, "model-1.safetensors": 6 * 10**9, "model-2.safetensors": 7 * 10**9}
PICKLED = {"pytorch_model.bin": 26 * 10**9}


class Hub(BaseHTTPRequestHandler):
    """A hub with one model: names, sizes and no bytes."""

    sizes = SIZES

    def do_GET(self):
        sizes = self.server.sizes
        if "/tree/" in self.path:
            told = [
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
            told = {"id": "lab/model", "sha": SHA, "siblings": [{"rfilename": name} for name in sizes]}
        self.answer({"Content-Type": "application/json"}, json.dumps(told).encode())

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
    server.sizes = SIZES
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    ask = partial(snapshot_download, endpoint=endpoint, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(published, "snapshot_download", ask)
    yield server
    server.shutdown()


def give(monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))


def test_what_does_not_fit_is_told_with_both_sizes(hub, monkeypatch):
    give(monkeypatch, 12 * 10**9)
    with pytest.raises(
        ValueError, match=r"lab/model has 13.0 GB of weights .* 12.0 GB free: make room, or set HF_HOME"
    ):
        check_files("lab/model", "main", False)
    give(monkeypatch, 14 * 10**9)
    check_files("lab/model", "main", False)


def test_pickles_count_where_they_are_what_is_read(hub, monkeypatch):
    hub.sizes = SIZES | PICKLED
    give(monkeypatch, 14 * 10**9)
    check_files("lab/model", "main", True)  # safetensors are taken
    hub.sizes = PICKLED
    with pytest.raises(ValueError, match="26.0 GB of weights"):
        check_files("lab/model", "main", True)


def test_a_hub_that_does_not_answer_is_left_to_who_reads(hub, monkeypatch):
    give(monkeypatch, 0)
    hub.shutdown()
    hub.server_close()
    check_download("lab/model", "main", ["model*"])
