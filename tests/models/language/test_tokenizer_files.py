"""A text tokenizer's files are checked before the library reads them; what is wrong with them is one line."""

import json
from pathlib import Path

import pytest

from models.language.text_tokenizer import text_rows, train_text_tokenizer
from models.language.tokenizer_files import check_tokenizer, read_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train_text_tokenizer(["draw a red circle", "describe the image"], 280).save_pretrained(tmp_path)
    return tmp_path


def refusal(folder: Path, rows: int = 280) -> str:
    with pytest.raises(ValueError) as refused:
        read_tokenizer(folder, rows)
    line = str(refused.value)
    assert "\n" not in line and line.isprintable() and len(line) < 1000
    return line


def test_a_whole_folder_is_read(folder: Path) -> None:
    assert text_rows(read_tokenizer(folder, 280)) <= 280
    (folder / "tokenizer.json").unlink()
    assert check_tokenizer(folder) == {}
    with pytest.raises(FileNotFoundError):
        read_tokenizer(folder)


@pytest.mark.parametrize(
    "change", [{"model": {"type": "BPE2"}}, {"version": "2.0"}, {"normalizer": {"type": "New"}}]
)
def test_a_tokenizer_json_of_a_newer_library_is_named(folder: Path, change: dict) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    for key, value in change.items():
        content[key] = content[key] | value if isinstance(content[key], dict) else value
    path.write_text(json.dumps(content))
    line = refusal(folder)
    assert str(path) in line and "a newer library wrote it, or it is damaged" in line


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 1_000_000, b"[]", b'{"model": 5}', b'{"model": {"vocab": []}}']
)
def test_a_tokenizer_json_of_another_shape_is_one_line(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    assert "tokenizer.json" in refusal(folder)


def test_a_million_pieces_are_refused_before_the_library_reads_them(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"] = [{"id": 10**6 + i, "content": f"<{i}>"} for i in range(50_000)]
    path.write_text(json.dumps(content))
    assert "text rows: they are of different runs" in refusal(folder)
