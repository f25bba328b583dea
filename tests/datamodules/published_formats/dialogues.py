"""Rows of dialogues about four images, converted in this process."""

import json

import pytest

from models.document import See
from tests.datamodules.conversions import documents, run
from tests.datamodules.tars import png


def talk(*turns):
    return [{"from": who, "value": said} for who, said in turns]


ONE = talk(("human", "<image>\nwhat ?"), ("gpt", "a circle"))


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(4):
        (tmp_path / f"images/{i}.jpg").write_bytes(png(i + 1))
    return tmp_path / "images"


def converted(images, rows, name="rows.json", text=None):
    (images.parent / name).write_bytes((json.dumps(rows) if text is None else text).encode())
    code = run("llava", images.parent / name, "--images", images, "--out", images.parent / "out")
    return code, documents(images.parent / "out", "conversation")


def seen(document):
    """The brightness of each seen image: which one it is."""
    return [int(part.image.max()) for part in document if isinstance(part, See)]
