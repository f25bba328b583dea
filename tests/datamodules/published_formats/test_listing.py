"""What formats list: options without a meaning are refused."""

from tests.datamodules.conversions import run
from tests.datamodules.published_formats.captioned_images import source

__all__ = ["source"]


def test_options_without_a_meaning_are_refused(source, capsys):
    (source / "0.txt").write_text("zero")
    assert run("folder", source, "--out", source.parent / "out", "--caption", "text") == 2
    assert "--caption has no meaning for" in capsys.readouterr().err
