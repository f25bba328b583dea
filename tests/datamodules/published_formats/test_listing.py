"""What formats list: options without a meaning are refused."""

import pytest

from tests.datamodules.conversions import run
from tests.datamodules.tars import png


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(png(i))
    return folder


def test_options_without_a_meaning_are_refused(source, capsys):
    (source / "0.txt").write_text("zero")
    assert run("folder", source, "--out", source.parent / "out", "--caption", "text") == 2
    assert "--caption has no meaning for" in capsys.readouterr().err
