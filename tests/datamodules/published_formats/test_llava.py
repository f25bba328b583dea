"""Dialogues: several images, the usual shapes and files; whatever is no sample is counted by name."""

import base64

import pytest

from models.document import Text
from tests.datamodules.conversions import run, skipped
from tests.datamodules.published_formats.dialogues import ONE, converted, images, seen, talk
from tests.datamodules.tars import png

__all__ = ["images"]


TWO = talk(("human", "<image>\n<image>\nwhat ?"), ("gpt", "a circle"))
BARE = talk(("human", "what ?"), ("gpt", "a circle"))


@pytest.mark.parametrize("mark", ["<IMAGE>", "<Image>", "<images>", "<picture>"])
def test_marks_of_other_spellings_are_counted(images, mark):
    row = {"image": "1.jpg", "conversations": talk(("human", f"{mark}\nwhat ?"), ("gpt", "a circle"))}
    assert converted(images, [row])[0] == 2
    assert skipped(images.parent / "out") == {"a conversation has other image marks than <image>": 1}


def test_several_images_of_a_row_are_seen_in_order(images):
    rows = [
        {"image": ["2.jpg"], "conversations": ONE},
        {"image": ["3.jpg", "0.jpg"], "conversations": TWO},
        {"images": ["1.jpg", "2.jpg"], "conversations": BARE},
        {
            "images": ["1.jpg"],
            "messages": [{"role": "user", "content": "<image>what ?"}, {"role": "assistant", "content": "x"}],
        },
        {"image": [f"{i % 4}.jpg" for i in range(12)], "conversations": BARE},
    ]
    code, found = converted(images, rows)
    assert code == 0 and skipped(images.parent / "out") == {}
    assert [seen(document) for document in found] == [[3], [4, 1], [2, 3], [2], [1, 2, 3, 4] * 3]
    assert [part for part in found[1] if isinstance(part, Text)] == [
        Text("what ?"),
        Text("a circle", learn=True),
    ]


def test_images_in_messages_may_stand_in_the_message(images):
    inline = "data:image/png;base64," + base64.b64encode(png(7)).decode()
    content = [
        {"type": "image_url", "image_url": {"url": inline}},
        {"type": "image", "image": "1.jpg"},
        {"type": "text", "text": "what ?"},
    ]
    row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "a circle"}]}
    code, (document,) = converted(images, [row])
    assert code == 0 and seen(document) == [7, 2]


def test_video_rows_and_marks_without_images_are_counted(images):
    rows = [
        {"id": "v1", "video": "clip.mp4", "conversations": talk(("human", "<video>\nwhat ?"), ("gpt", "x"))},
        {"id": "v2", "video": "clip.mp4", "conversations": ONE},
        {"id": "v3", "video": "clip.mp4", "conversations": BARE},
        {"id": "n1", "image": None, "conversations": ONE},
        {"id": "n2", "image": "gone.jpg", "conversations": ONE},
        {"id": "n3", "image": "0.jpg", "conversations": TWO},
        {"id": "n4", "image": ["0.jpg", "1.jpg"], "conversations": ONE},
        {"id": "i1", "image": "0.jpg", "conversations": ONE},
    ]
    code, found = converted(images, rows)
    assert code == 0 and len(found) == 1
    assert skipped(images.parent / "out") == {
        "a conversation needs a video": 3,
        "a conversation has more image marks than images": 2,
        "an image is missing": 1,
        "a conversation has fewer image marks than images": 1,
    }


def test_what_is_left_out_is_reported_with_examples(images, capsys):
    rows = [{"id": f"v{i}", "video": "a.mp4", "conversations": ONE} for i in range(5)]
    assert converted(images, [*rows, {"id": "\x1b[2Jx", "conversations": 7}])[0] == 2
    said = capsys.readouterr()
    assert (
        "skipped 5: a conversation needs a video (rows.json, row 1 (id v0); " in said.out
        and "v3" not in said.out
    )
    assert "\x1b" not in said.out and "(id \\x1b[2Jx)" in said.out
    assert "not one sample" in said.err and not list((images.parent / "out").glob("*.tar"))


def test_a_folder_is_refused_with_the_files_in_it(images, capsys):
    (images.parent / "mix.json").write_text("[]")
    assert run("llava", images.parent, "--out", images.parent / "out") == 2
    assert "is a folder: name the file of dialogues in it" in capsys.readouterr().err


def test_a_row_nested_too_deep_is_one_line(images, capsys):
    text = '[{"conversations": ' + "[" * 100_000 + "]" * 100_000 + "}]"
    (images.parent / "rows.json").write_text(text)
    assert run("llava", images.parent / "rows.json", "--out", images.parent / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
