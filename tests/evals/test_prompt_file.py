"""Prompt files as editors write them; characters that no text may hold are named."""

import codecs
from pathlib import Path

import pytest

from evals.prompt_file import read_prompt_lines, read_prompts

ODD = [
    "a\u2028b",
    "c\u0085d",
    "tab\there",
    "می\u200cخواهم",
    "👩\u200d🎨",
    "no\u00a0break",
    "全\u3000角",
    "\ufeffin it",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_prompt_files_of_every_editor(mark: bytes, encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(mark + (end.join(ODD) + end).encode(encoding))
    assert read_prompts(path) == ODD
    path.write_bytes(mark + end.join(ODD).encode(encoding))  # no line break at the end
    assert read_prompts(path) == ODD


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n", codecs.BOM_UTF8])
def test_an_empty_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"p\.txt is empty: give it"):
        read_prompt_lines(tmp_path / "p.txt", "it")


def test_control_characters_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"fine\na\x1b[2Jb\n")
    with pytest.raises(ValueError, match=r"p\.txt:2 holds U\+001B \(escape\) at letter 2"):
        read_prompt_lines(tmp_path / "p.txt", "it")
