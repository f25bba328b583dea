"""Three images and their captions, as lines of JSON and as a table."""

import csv
import io
import json

import pytest

from tests.datamodules.tars import png

ROWS = [{"file_name": f"{i}.png", "text": f"a red circle {i}"} for i in range(3)]


WORDS = [row["text"] for row in ROWS]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(png(i))
    return folder


def lines(rows, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows)


def table(rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
