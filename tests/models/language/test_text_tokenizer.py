"""Text tokenizers: what training spells, special tokens that text cannot spell, ids with gaps, and damaged files."""

import json
from pathlib import Path

import pytest

from models.document import Text
from models.language.pretrained import PretrainedLanguage
from models.language.text_tokenizer import (
    TextEncoder,
    check_tokenizer,
    read_tokenizer,
    text_rows,
    train_text_tokenizer,
)
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, publish_gap

TEXTS = ["draw a red circle and a blue square", "describe the image"] * 3


def test_the_same_texts_give_the_same_pieces():
    one, other = (train_text_tokenizer(TEXTS, 280) for _ in range(2))
    assert one.get_vocab() == other.get_vocab() and text_rows(one) == len(one) <= 280


def test_capitals_and_attached_marks_give_the_text_of_training():
    encode = TextEncoder(train_text_tokenizer(TEXTS, 280))
    assert encode("Draw a red circle?") == encode("draw a red circle ?") != encode("draw a blue circle ?")


def test_text_cannot_spell_the_tokenizers_own_special_tokens():
    tokenizer = train_text_tokenizer(TEXTS, 280)
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    ids = TextEncoder(tokenizer)("a </s> b")
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids).replace(" ", "") == "a</s>b"


def test_text_of_ids_with_a_gap_stays_text(tmp_path):
    publish_gap(tmp_path)
    language, tokenizer = PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    largest = max(tokenizer.get_vocab().values())
    assert language.vocabulary.text_size == largest + 1 > len(tokenizer)
    model = Illume(language=language, text_tokenizer=tokenizer)
    segment = model.sequencer.segment([Text("describe the image"), Text("red", learn=True)])
    own = [language.vocabulary.special(name) for name in ("begin", "user", "assistant", "end")]
    spelled = [i for i in segment.ids if i not in own]
    assert len(spelled) == len(segment.ids) - 4 and max(spelled) >= largest - 5
    assert tokenizer.decode(spelled) == "describe the imagered"


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
