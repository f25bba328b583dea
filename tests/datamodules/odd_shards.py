"""Shards with good, unusual and broken samples."""

import io

import pytest
from PIL import Image

from tests.datamodules.tars import png, write_samples


def picture(size, mode="RGB", kind="png"):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    good = {f"{i}": {"png": png(i), "txt": f"number {i}".encode()} for i in range(5)}
    odd = {
        "thin": {"png": picture((200, 40)), "txt": b"a strip"},
        "cmyk": {"jpg": picture((64, 64), "CMYK", "jpeg"), "txt": b"ink"},
        "bare": {"txt": b"words alone"},
    }
    broken = {
        "cut": {"png": png()[:60], "txt": b"cut"},
        "mute": {"png": png()},
        "story": {"json": b'{"parts": [{"see": "9.png"}]}'},
    }
    whole = write_samples(tmp_path / "set/0.tar", good | odd | broken)
    write_samples(tmp_path / "set/1.tar", good)
    (tmp_path / "set/2.tar").write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "set/3.tar").write_bytes(b"")
    return tmp_path / "set"
