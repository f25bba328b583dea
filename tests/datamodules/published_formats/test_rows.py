"""Rows of lists: JSON by lines or ids, CSV; what cannot be read is named by its line."""

import json
import shutil

import pytest

from tests.datamodules.conversions import captions, run, skipped
from tests.datamodules.published_formats.captioned_images import ROWS, WORDS, lines, source, table
from tests.datamodules.published_formats.dialogues import ONE, converted, images, seen

__all__ = ["images", "source"]


def test_rows_by_their_ids_and_by_their_splits_are_read(images):
    row = {"image": "1.jpg", "conversations": ONE}
    assert len(converted(images, {"a1": row, "b2": row})[1]) == 2
    shutil.rmtree(images.parent / "out")
    assert len(converted(images, {"train": [row, row], "test": [row]})[1]) == 2
    assert skipped(images.parent / "out") == {"the split test is left out (--split test takes it)": 1}


@pytest.mark.parametrize(
    "name, text",
    [
        ("rows.jsonl", "{0}\n{1}\n"),
        ("rows.json", "{0}\n\n{1}\n"),
        ("rows.jsonl", "{0}\r\n{1}"),
        ("rows.json", "\ufeff[{0}, {1}]"),
        ("rows.jsonl", "\ufeff{0}\n{1}\n"),
        ("rows.json", '{{"data": [{0}, {1}]}}'),
    ],
)
def test_lists_and_lines_with_and_without_a_mark(images, name, text):
    rows = [json.dumps({"image": f"{i}.jpg", "conversations": ONE}) for i in range(2)]
    code, found = converted(images, None, name, text.format(*rows))
    assert code == 0 and [seen(document) for document in found] == [[1], [2]]


def test_rows_of_another_split_are_left_out(images):
    rows = [
        {"image": f"{i}.jpg", "split": split, "conversations": ONE}
        for i, split in enumerate(("train", "test"))
    ]
    code, found = converted(images, rows)
    assert code == 0 and [seen(document) for document in found] == [[1]]
    assert skipped(images.parent / "out") == {"the split test is left out (--split test takes it)": 1}


COCO = {
    "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
    "annotations": [{"id": 9 - i, "image_id": i, "caption": WORDS[i]} for i in range(3)],
}


KARPATHY = {
    "images": [
        {
            "filename": f"{i}.png",
            "filepath": ".",
            "split": "restval",
            "sentences": [{"raw": WORDS[i], "tokens": []}],
        }
        for i in range(3)
    ]
}


@pytest.mark.parametrize(
    "name, text",
    [
        ("metadata.jsonl", lines(ROWS)),
        ("metadata.jsonl", lines(ROWS, "\r\n")),
        ("metadata.csv", table(ROWS)),
        ("metadata.tsv", table(ROWS, "\t")),
        ("captions.csv", table(ROWS, "|")),
        ("captions.txt", table(ROWS)),
        ("captions.json", json.dumps(ROWS)),
        ("captions.json", lines(ROWS)),
        ("captions.jsonl", json.dumps(ROWS, indent=1)),
        ("captions.json", json.dumps({row["file_name"]: row["text"] for row in ROWS})),
        ("captions.json", json.dumps({row["file_name"]: [row["text"]] for row in ROWS})),
        ("captions.json", json.dumps(COCO)),
        ("captions.json", json.dumps(KARPATHY)),
        ("captions.json", json.dumps({"annotations": ROWS})),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_captions_in_one_file_of_any_kind(source, name, text, encoding):
    (source / name).write_bytes(text.encode(encoding))
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == WORDS and skipped(source.parent / "out") == {}


def test_separators_within_a_caption_end_no_row(source):
    odd = [{**row, "text": text} for row, text in zip(ROWS, ("a\u2028b", "c\x85d", "e\x0bf"), strict=True)]
    (source / "metadata.jsonl").write_text(lines(odd), encoding="utf-8")
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["a\u2028b", "c\x85d", "e\x0bf"]


@pytest.mark.parametrize(
    "name, content, error",
    [
        (
            "metadata.jsonl",
            b'{"file_name": "0.png", "text": "a"}\n{"file_name"\n',
            "metadata.jsonl, line 2: not valid JSON",
        ),
        (
            "metadata.jsonl",
            '{"a": 1}\n{"text": "café"}'.encode("cp1252"),
            "metadata.jsonl, line 2: not UTF-8",
        ),
        ("metadata.csv", "file_name,text\n0.png,café".encode("cp1252"), "metadata.csv, line 2: not UTF-8"),
        ("captions.json", b"[1,\n2", "captions.json, line 2: not valid JSON"),
        ("captions.json", b"7", "captions.json is no list of rows"),
        ("captions.json", b'{"images": [], "annotations": [{"bbox": []}]}', "annotations without captions"),
        ("metadata.csv", b'file_name,text\n0.png,"' + b"x" * 200_000, "metadata.csv, line 2: no CSV"),
        ("metadata.csv", b'file_name,text\n0.png,a\n1.png,"b\n2.png,c\n', "metadata.csv, line 3: no CSV"),
        ("metadata.jsonl", b"\x1f\x8b\x08\x00", "metadata.jsonl is packed: unpack gzip first"),
        ("metadata.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
    ],
)
def test_a_list_of_captions_that_cannot_be_read_is_refused_with_file_and_line(
    source, name, content, error, capsys
):
    (source / name).write_bytes(content)
    assert run("folder", source, "--out", source.parent / "out") == 2
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1


def test_a_csv_with_two_columns_of_one_name_is_refused(source, capsys):
    (source / "metadata.csv").write_text("file_name,text,text\n0.png,a,b\n")
    assert run("folder", source, "--out", source.parent / "out") == 2
    assert "metadata.csv has several columns named 'text'" in capsys.readouterr().err


def test_a_csv_with_unquoted_commas_is_an_error(source):
    (source / "metadata.csv").write_text('file_name,text\n0.png,a circle, red\n1.png,"a circle, blue"\n')
    assert run("folder", source, "--out", source.parent / "out") == 0
    assert captions(source.parent / "out") == ["a circle, blue"]
    assert skipped(source.parent / "out")["a row has more fields than its header"] == 1
