"""Text of other people's programs is read whatever wrote it, or refused with file and line."""

import pytest

from common.text import decode_text, read_text, split_lines

WORDS = "a café,\n第二行"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_read_and_dropped(encoding, tmp_path):
    assert decode_text(WORDS.encode(encoding), "a.txt") == WORDS
    (tmp_path / "a.txt").write_bytes(WORDS.encode(encoding))
    assert read_text(tmp_path / "a.txt") == WORDS


@pytest.mark.parametrize("mark, encoding", [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_either_byte_order_is_read(mark, encoding):
    assert decode_text(mark + WORDS.encode(encoding), "a.txt") == WORDS


@pytest.mark.parametrize(
    "content, line",
    [
        ("one\na café".encode("cp1252"), 2),
        ("红色".encode("gbk"), 1),
        ("one\ntwo".encode("utf-16-le"), 1),  # without a mark every letter is UTF-8, with a zero after it
        ("one".encode("utf-16-be"), 1),
        ("one".encode("utf-16") + b"x", 1),
    ],
)
def test_another_encoding_is_refused_with_file_and_line(content, line):
    with pytest.raises(ValueError, match=f"^captions.txt, line {line}: not UTF-.*save it as UTF-8$"):
        decode_text(content, "captions.txt")


def test_lines_end_at_line_feeds_alone():
    assert split_lines("a\r\nb\n\nc") == ["a", "b", "", "c"] and split_lines("") == []
