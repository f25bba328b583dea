"""Dialogues: several images, the usual shapes and files; whatever is no sample is counted by name."""

import base64
import json
import shutil

import pytest

from models.document import See, Text
from tests.datamodules.conversions import documents, run, skipped
from tests.datamodules.tars import png


def talk(*turns):
    return [{"from": who, "value": said} for who, said in turns]


ONE = talk(("human", "<image>\nwhat ?"), ("gpt", "a circle"))
TWO = talk(("human", "<image>\n<image>\nwhat ?"), ("gpt", "a circle"))
BARE = talk(("human", "what ?"), ("gpt", "a circle"))


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


def test_rows_by_their_ids_and_by_their_splits_are_read(images):
    row = {"image": "1.jpg", "conversations": ONE}
    assert len(converted(images, {"a1": row, "b2": row})[1]) == 2
    shutil.rmtree(images.parent / "out")
    assert len(converted(images, {"train": [row, row], "test": [row]})[1]) == 2
    assert skipped(images.parent / "out") == {"the split test is left out (--split test takes it)": 1}


def test_paths_as_urls_have_them_are_found_or_hinted_at(images):
    (images / "my photo.jpg").write_bytes(png(7))
    names = [f"file://{images}/my%20photo.jpg", "my%20photo.jpg", "https://u:PASSWORD@h/a.jpg?sig=SIGNATURE"]
    code, found = converted(images, [{"image": name, "conversations": ONE} for name in names])
    assert code == 0 and len(found) == 1
    assert skipped(images.parent / "out") == {
        "an image is missing": 1,
        "an image is a URL, and is to be fetched first, as by img2dataset": 1,
    }
    summary = (images.parent / "out/summary.json").read_text()
    assert "though there is my photo.jpg" in summary and "https://h/a.jpg" in summary
    assert "PASSWORD" not in summary and "SIGNATURE" not in summary


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


def test_an_image_of_the_same_name_and_another_ending_is_named(images, capsys):
    (images / "q.gif").write_bytes(png(5))
    code, found = converted(images, [{"image": f"q.{end}", "conversations": ONE} for end in ("jpg", "gif")])
    assert code == 0 and len(found) == 1
    assert (
        "skipped 1: an image is missing (rows.json, row 1: q.jpg, though there is q.gif)"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("named, there", [("q.jpg", "q.PNG"), ("q.jpg", "q.JPG"), ("Q.png", "q.png")])
def test_an_image_of_another_case_is_named(images, capsys, named, there):
    (images / there).write_bytes(png(5))
    rows = [{"image": name, "conversations": ONE} for name in (named, there)]
    assert converted(images, rows)[0] == 0
    assert f"row 1: {named}, though there is {there})" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_named(images, capsys):
    (images / "empty.jpg").write_bytes(b"")
    (images / "cut.png").write_bytes(png(5)[:50])
    rows = [
        {"id": i, "image": n, "conversations": ONE} for i, n in enumerate(("empty.jpg", "cut.png", "0.jpg"))
    ]
    assert converted(images, rows)[0] == 0
    said = capsys.readouterr().out
    assert (
        "skipped 1: not a readable image, no image (rows.json, row 1 (id 0): empty.jpg, it is empty)" in said
    )
    assert "skipped 1: not a readable image, cut short (rows.json, row 2 (id 1): cut.png" in said


def test_images_behind_linked_folders_are_read_and_names_that_lead_out_are_not(images, tmp_path):
    (tmp_path / "project/images").mkdir(parents=True)
    (tmp_path / "project/images/coco").symlink_to(images)
    names = [
        "coco/0.jpg",
        "coco/../coco/1.jpg",
        "../../images/0.jpg",
        "coco/../../0.jpg",
        str(images / "0.jpg"),
    ]
    (tmp_path / "rows.json").write_text(json.dumps([{"image": name, "conversations": ONE} for name in names]))
    out = tmp_path / "out"
    assert run("llava", tmp_path / "rows.json", "--images", tmp_path / "project/images", "--out", out) == 0
    assert [seen(document) for document in documents(out, "conversation")] == [[1], [2]]
    assert skipped(out) == {"an image's path leads out of the folder": 3}


def test_rows_of_another_split_are_left_out(images):
    rows = [
        {"image": f"{i}.jpg", "split": split, "conversations": ONE}
        for i, split in enumerate(("train", "test"))
    ]
    code, found = converted(images, rows)
    assert code == 0 and [seen(document) for document in found] == [[1]]
    assert skipped(images.parent / "out") == {"the split test is left out (--split test takes it)": 1}


def test_a_folder_is_refused_with_the_files_in_it(images, capsys):
    (images.parent / "mix.json").write_text("[]")
    assert run("llava", images.parent, "--out", images.parent / "out") == 2
    assert "is a folder: name the file of dialogues in it" in capsys.readouterr().err


def test_a_row_nested_too_deep_is_one_line(images, capsys):
    text = '[{"conversations": ' + "[" * 100_000 + "]" * 100_000 + "}]"
    (images.parent / "rows.json").write_text(text)
    assert run("llava", images.parent / "rows.json", "--out", images.parent / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
