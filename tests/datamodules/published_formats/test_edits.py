"""Edits: MagicBrush's lists as they are published, InstructPix2Pix's folders, lists of edits."""

import json

import pytest

from tests.datamodules.conversions import documents, run, skipped
from tests.datamodules.tars import png


def edits(folder):
    """Instruction, and which images stand before and after it."""
    return [
        (edit[1].text.rpartition(" : ")[2], int(edit[0].image.max()), int(edit[2].image.max()))
        for edit in documents(folder, "edit")
    ]


def turn(scene, number=1):
    before = f"{scene}-input.png" if number == 1 else f"{scene}-output{number - 1}.png"
    words = f"edit {number} of {scene}"
    mask = f"{scene}-mask{number}.png"
    return {"input": before, "mask": mask, "output": f"{scene}-output{number}.png", "instruction": words}


@pytest.fixture
def magicbrush(tmp_path):
    """Its folder, with two turns of scene 101 and one of 202."""
    for scene, names in (("101", ("input", "output1", "output2", "mask1")), ("202", ("input", "output1"))):
        (tmp_path / f"train/images/{scene}").mkdir(parents=True)
        for number, name in enumerate(names, int(scene[0])):
            (tmp_path / f"train/images/{scene}/{scene}-{name}.png").write_bytes(png(number))
    return tmp_path / "train"


WANTED = [("edit 1 of 101", 1, 2), ("edit 2 of 101", 2, 3), ("edit 1 of 202", 2, 3)]


def test_magicbrush_as_it_is_documented(magicbrush):
    turns = [turn("101"), turn("101", 2), turn("202")]
    (magicbrush / "edit_turns.json").write_text(json.dumps(turns))
    (magicbrush / "edit_sessions.json").write_text(json.dumps({"101": turns[:2], "202": turns[2:]}))
    assert run("edits", magicbrush, "--out", magicbrush.parent / "out") == 0
    assert edits(magicbrush.parent / "out") == WANTED and skipped(magicbrush.parent / "out") == {}


def test_magicbrush_by_sessions_alone(magicbrush):
    sessions = {"101": [turn("101"), turn("101", 2)], "202": [turn("202")]}
    (magicbrush / "edit_sessions.json").write_text(json.dumps(sessions))
    assert run("edits", magicbrush, "--out", magicbrush.parent / "out") == 0
    assert edits(magicbrush.parent / "out") == WANTED


def test_of_magicbrushs_folder_of_splits_train_is_taken(magicbrush, tmp_path):
    (magicbrush / "edit_turns.json").write_text(json.dumps([turn("202")]))
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/edit_turns.json").write_text(json.dumps([turn("101")]))
    assert run("edits", tmp_path, "--out", tmp_path / "out") == 0
    assert edits(tmp_path / "out") == WANTED[2:]
    assert skipped(tmp_path / "out") == {"the split validation is left out (--split validation takes it)": 1}


@pytest.mark.parametrize("images", ["train/images", "train", "train/images/202"])
def test_magicbrushs_images_may_start_at_any_of_its_folders(magicbrush, images):
    (magicbrush / "edit_turns.json").write_text(json.dumps([turn("202")]))
    root = magicbrush.parent
    assert run("edits", magicbrush, "--images", root / images, "--out", root / "out") == 0
    assert edits(root / "out") == WANTED[2:]


def test_edits_that_lack_something_are_counted(magicbrush):
    rows = [turn("202"), turn("202", 2), {**turn("202"), "instruction": ""}, {"input": "202-input.png"}, 7]
    rows += [{**turn("202"), "output": "../../../etc/passwd.png"}]
    (magicbrush / "edit_turns.json").write_text(json.dumps(rows))
    assert run("edits", magicbrush, "--out", magicbrush.parent / "out") == 0
    assert skipped(magicbrush.parent / "out") == {
        "an edit has not its image, instruction and result": 2,
        "an image is missing": 1,
        "an instruction is empty": 1,
        "an image's path leads out of the folder": 1,
    }


def test_a_list_of_edits_in_lines_of_json(magicbrush):
    row = {
        "source_image": "images/202/202-input.png",
        "edit_prompt": "x",
        "edited_image": "images/202/202-output1.png",
    }
    (magicbrush / "edits.jsonl").write_text(json.dumps(row) + "\n")
    assert run("edits", magicbrush / "edits.jsonl", "--out", magicbrush.parent / "out") == 0
    assert edits(magicbrush.parent / "out") == [("x", 2, 3)]


def test_instructpix2pix_behind_a_link_and_with_images_of_two_endings(tmp_path):
    folder = tmp_path / "disk/0000001"
    folder.mkdir(parents=True)
    (folder / "prompt.json").write_text(json.dumps({"edit": "make it blue"}), encoding="utf-8-sig")
    for name, value in (("7_0.png", 1), ("7_1.webp", 2), ("8_0.png", 3)):
        (folder / name).write_bytes(png(value))
    (folder / "metadata_0.txt").write_text("no image")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/part0").symlink_to(tmp_path / "disk")
    assert run("edits", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert edits(tmp_path / "out") == [("make it blue", 1, 2)]
    assert skipped(tmp_path / "out") == {"an image is missing": 1}


def test_a_folder_without_edits_is_one_line(tmp_path, capsys):
    assert run("edits", tmp_path, "--out", tmp_path / "out") == 2
    assert "no edits at" in capsys.readouterr().err
