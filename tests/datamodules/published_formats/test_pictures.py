"""Images that rows name or hold: found, hinted at, or refused."""

import json

import pytest

from tests.datamodules.conversions import documents, run, skipped
from tests.datamodules.published_formats.dialogues import ONE, converted, images, seen
from tests.datamodules.tars import png

__all__ = ["images"]


def test_url_encoded_paths_are_found_or_hinted_at(images):
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
