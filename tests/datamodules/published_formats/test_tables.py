"""Tables: pairs, dialogues and edits by their columns; saved data sets as their state.json has them; one split."""

import json

import pytest

from models.document import Draw, See, Text
from tests.datamodules.conversions import captions, documents, run, skipped
from tests.datamodules.tars import png

arrow = pytest.importorskip("pyarrow")


def image(value):
    return {"bytes": png(value), "path": None}


PAIRS = [{"image": image(i), "text": f"number {i}"} for i in range(1, 7)]
WORDS = [row["text"] for row in PAIRS]


def parquet(path, rows, **options):
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(arrow.Table.from_pylist(rows), path, **options)


def stream(path, rows, kind="new_stream"):
    import pyarrow.ipc

    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.Table.from_pylist(rows)
    with getattr(pyarrow.ipc, kind)(path, table.schema) as file:
        file.write_table(table, max_chunksize=2)


def saved(folder, names, **state):
    (folder / "dataset_info.json").write_text("{}")
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, **state}))


def test_rows_that_say_they_are_of_another_split_are_left_out(tmp_path):
    splits = ["train", "test", "val", "train[:10%]", None, "restval"]
    rows = [{**row, "split": split} for row, split in zip(PAIRS, splits, strict=True)]
    parquet(tmp_path / "in/0.parquet", rows)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == [WORDS[0], WORDS[3], WORDS[4], WORDS[5]]
    assert sum(skipped(tmp_path / "out").values()) == 2
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "all", "--split", "all") == 0
    assert captions(tmp_path / "all") == WORDS


@pytest.mark.parametrize("kind", ["binary_view", "large_binary", "fixed", "dictionary"])
def test_every_kind_of_column_that_holds_bytes_is_read(tmp_path, kind):
    import pyarrow.ipc

    content = png(3)
    kinds = {"binary_view": arrow.binary_view(), "large_binary": arrow.large_binary()}
    images = arrow.array([content] * 2, kinds.get(kind, arrow.binary()))
    images = arrow.array([content] * 2, arrow.binary(len(content))) if kind == "fixed" else images
    images = images.dictionary_encode() if kind == "dictionary" else images
    text = arrow.array(["a", "b"], arrow.string_view() if kind == "binary_view" else arrow.large_string())
    table = arrow.table({"image": images, "text": text})
    (tmp_path / "in").mkdir()
    with pyarrow.ipc.new_stream(tmp_path / "in/data.arrow", table.schema) as file:
        file.write_table(table)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["a", "b"]


def test_a_table_that_ends_in_its_middle_is_named(tmp_path, capsys):
    stream(tmp_path / "in/data.arrow", PAIRS)
    content = (tmp_path / "in/data.arrow").read_bytes()
    (tmp_path / "in/data.arrow").write_bytes(content[: len(content) * 2 // 3])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "data.arrow cannot be read" in capsys.readouterr().err


def test_of_a_saved_data_set_its_own_files_are_read_and_no_caches(tmp_path):
    for number in range(2):
        stream(tmp_path / f"in/data-0000{number}-of-00002.arrow", PAIRS[number * 3 : number * 3 + 3])
    stream(tmp_path / "in/cache-0123456789abcdef.arrow", [{**row, "text": "CACHED"} for row in PAIRS])
    saved(tmp_path / "in", [f"data-0000{number}-of-00002.arrow" for number in range(2)])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS
    assert skipped(tmp_path / "out") == {"a table that state.json does not name is left out": 1}


def test_of_a_folder_of_arrow_files_caches_are_left_out(tmp_path):
    stream(tmp_path / "in/x-train.arrow", PAIRS, "new_file")
    stream(tmp_path / "in/x-test.arrow", PAIRS)
    stream(tmp_path / "in/cache-0123456789abcdef.arrow", PAIRS)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS
    assert skipped(tmp_path / "out") == {
        "what map or filter has left is no data, left out": 1,
        "the split test is left out (--split test takes it)": 1,
    }


@pytest.mark.parametrize(
    "state, error",
    [
        ({"_indices_data_files": [{"filename": "indices.arrow"}]}, "flatten_indices"),
        ({"_data_files": []}, "names no files"),
        ({"_data_files": [{"filename": "../data.arrow"}]}, "names no files that lie beside it"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow is not there"),
    ],
)
def test_a_saved_data_set_that_is_not_whole_is_refused(tmp_path, state, error, capsys):
    stream(tmp_path / "in/data.arrow", PAIRS)
    saved(tmp_path / "in", ["data.arrow"], **state)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("split, taken", [(None, "train"), ("test", "test"), ("all", "train test")])
def test_of_a_dataset_dict_one_split_is_taken(tmp_path, split, taken):
    for name in ("train", "test"):
        stream(tmp_path / f"in/{name}/data.arrow", [{**PAIRS[0], "text": name}])
        saved(tmp_path / f"in/{name}", ["data.arrow"], _split=name)
    (tmp_path / "in/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert (
        run("parquet", tmp_path / "in", "--out", tmp_path / "out", *(["--split", split] if split else []))
        == 0
    )
    assert captions(tmp_path / "out") == taken.split()
    left = {"train": "test", "test": "train"}.get(taken)
    assert skipped(tmp_path / "out") == (
        {f"the split {left} is left out (--split {left} takes it)": 1} if left else {}
    )


def test_of_a_dataset_dict_with_other_names_of_splits_no_test_is_taken(tmp_path):
    for name in ("testmini", "default"):
        stream(tmp_path / f"in/{name}/data.arrow", [{**PAIRS[0], "text": name}])
        saved(tmp_path / f"in/{name}", ["data.arrow"], _split=name)
    (tmp_path / "in/dataset_dict.json").write_text('{"splits": ["testmini", "default"]}')
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["default"]
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "test", "--split", "testmini") == 0
    assert captions(tmp_path / "test") == ["testmini"]


@pytest.mark.parametrize(
    "train, test",
    [
        ("data/train-00000-of-00001-0a1b.parquet", "data/test-00000-of-00001-2c3d.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
        ("train.parquet", "val.parquet"),
        ("data/train_sft-00000-of-00001.parquet", "data/test_sft-00000-of-00001.parquet"),
        ("default/partial-train/0000.parquet", "default/partial-test/0000.parquet"),
    ],
)
def test_of_a_hubs_folder_the_training_split_is_taken(tmp_path, train, test):
    parquet(tmp_path / "in" / train, PAIRS[:4])
    parquet(tmp_path / "in" / test, PAIRS[4:])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS[:4] and sum(skipped(tmp_path / "out").values()) == 1


def test_a_folder_without_a_training_split_is_refused_with_those_there_are(tmp_path, capsys):
    parquet(tmp_path / "in/data/test-00000-of-00001.parquet", PAIRS)
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "has no split train: its splits are test; choose one with --split" in capsys.readouterr().err
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out", "--split", "test") == 0


def test_linked_tables_and_folders_are_followed(tmp_path):
    parquet(tmp_path / "disk/train.parquet", PAIRS)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/data").symlink_to(tmp_path / "disk")
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == WORDS


def test_small_row_groups_are_joined_to_shards_of_the_size_asked_for(tmp_path):
    parquet(tmp_path / "in.parquet", PAIRS, row_group_size=1)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--samples-per-shard", 4) == 0
    assert captions(tmp_path / "out") == WORDS and len(list((tmp_path / "out").glob("*.tar"))) == 2


@pytest.mark.parametrize(
    "column, value, wanted",
    [
        ("caption", "one", ["one"]),
        ("TEXT", "one", ["one"]),
        ("captions", ["one", "two"], ["one", "two"]),
        ("texts", ["one", "two"], ["one", "two"]),
        ("sentences", [{"raw": "one", "sentid": 1}], ["one"]),
        ("sentence", {"raw": "one", "tokens": ["one"]}, ["one"]),
        ("llava_caption", "one", ["one"]),
        ("caption_0", "one", ["one"]),
    ],
)
def test_columns_of_common_sets(tmp_path, column, value, wanted):
    row = {"image_id": 7, "image": image(3), column: value, "caption_score": 0.5, "label": 4, "url": "x"}
    parquet(tmp_path / "in.parquet", [row])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == wanted


@pytest.mark.parametrize("key", ["image", "img", "jpg", "images", "webp"])
def test_images_as_bytes_as_objects_and_in_lists(tmp_path, key):
    value = {"jpg": png(3), "webp": png(3), "images": [image(3)]}.get(key, image(3))
    parquet(tmp_path / "in.parquet", [{key: value, "text": "one"}])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["one"]


def test_images_by_their_path_beside_the_table(tmp_path):
    (tmp_path / "a.png").write_bytes(png(3))
    rows = [
        {"image": {"bytes": None, "path": name}, "text": name} for name in ("a.png", "gone.png", "../a.png")
    ]
    parquet(tmp_path / "in.parquet", rows)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    assert captions(tmp_path / "out") == ["a.png"]
    assert skipped(tmp_path / "out") == {
        "an image is missing": 1,
        "an image's path leads out of the folder": 1,
    }


def test_captions_in_several_columns_are_refused_until_one_is_chosen(tmp_path, capsys):
    parquet(tmp_path / "in.parquet", [{"image": image(3), "caption_0": "one", "blip_caption": "two"}])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "has captions in caption_0 and blip_caption: choose with --caption caption_0" in error
    assert error.count("\n") == 1
    assert (
        run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--caption", "blip_caption") == 0
    )
    assert captions(tmp_path / "out") == ["two"]


@pytest.mark.parametrize(
    "row, error",
    [
        ({"image": image(3), "label": 1}, "no column of captions that is known among image, label"),
        ({"text": "one"}, "no column of images that is known: there is text"),
        ({"image": [1, 2], "text": "one"}, "not one sample"),
    ],
)
def test_columns_that_are_not_known_are_named(tmp_path, row, error, capsys):
    parquet(tmp_path / "in.parquet", [row])
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out") == 2
    assert error in capsys.readouterr().err


def test_a_column_that_is_asked_for_and_not_there_is_refused(tmp_path, capsys):
    parquet(tmp_path / "in.parquet", PAIRS)
    assert run("parquet", tmp_path / "in.parquet", "--out", tmp_path / "out", "--caption", "captoin") == 2
    assert "has no column 'captoin': there is image, text" in capsys.readouterr().err


TURNS = [{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "a circle"}]


@pytest.mark.parametrize(
    "row",
    [
        {"images": [image(3)], "texts": [{"user": "what ?", "assistant": "a circle", "source": "x"}]},
        {"image": image(3), "conversations": TURNS},
        {"image": image(3), "conversations": json.dumps(TURNS)},
        {"image": image(3), "conversations": {"from": ["human", "gpt"], "value": ["what ?", "a circle"]}},
    ],
)
@pytest.mark.parametrize("format", ["parquet", "llava"])
def test_dialogues_in_tables(tmp_path, row, format):
    parquet(tmp_path / "in.parquet", [row])
    assert run(format, tmp_path / "in.parquet", "--out", tmp_path / "out") == 0
    (document,) = documents(tmp_path / "out", "conversation")
    assert isinstance(document[0], See) and document[1:] == [Text("what ?"), Text("a circle", learn=True)]


@pytest.mark.parametrize(
    "before, instruction, after, more",
    [
        ("source_img", "instruction", "target_img", {"mask_img": image(9), "img_id": "1", "turn_index": 1}),
        ("original_image", "edit_prompt", "edited_image", {"original_prompt": "x", "edited_prompt": "y"}),
        (
            "input_image",
            "edit",
            "output_image",
            {"input": "a dog", "output": "a cat", "inverse_edit": "back"},
        ),
        ("source_image", "edit_prompt", "edited_image", {"source_caption": "x", "target_caption": "y"}),
        ("input", "instruction", "output", {}),
        ("src_img", "edited_prompt_list", "edited_img", {"task": "swap"}),
    ],
)
@pytest.mark.parametrize("format", ["parquet", "edits"])
def test_edits_in_tables(tmp_path, before, instruction, after, more, format):
    words = ["make it blue"] if instruction.endswith("list") else "make it blue"
    parquet(
        tmp_path / "in/train-0.parquet", [{**more, before: image(1), instruction: words, after: image(2)}]
    )
    assert run(format, tmp_path / "in", "--out", tmp_path / "out") == 0
    (edit,) = documents(tmp_path / "out", "edit")
    assert [type(part) for part in edit] == [See, Text, Draw] and edit[1].text.endswith("make it blue")
    assert (int(edit[0].image.max()), int(edit[2].image.max())) == (1, 2)


def test_tables_of_two_kinds_are_refused(tmp_path, capsys):
    parquet(tmp_path / "in/a.parquet", PAIRS)
    parquet(tmp_path / "in/b.parquet", [{"image": image(3), "conversations": TURNS}])
    assert run("parquet", tmp_path / "in", "--out", tmp_path / "out") == 2
    assert "convert them one by one" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no table", b"version https://git-lfs.github.com/spec/v1\n"])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_file_that_is_no_table_is_one_line(tmp_path, content, ending, capsys):
    (tmp_path / f"in.{ending}").write_bytes(content)
    assert run("parquet", tmp_path / f"in.{ending}", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"in.{ending}" in error and error.count("\n") == 1


def test_a_table_that_is_damaged_within_is_counted(tmp_path):
    parquet(tmp_path / "a.parquet", PAIRS, compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[20:120] = b"\xff" * 100
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.parquet").write_bytes(content)
    parquet(tmp_path / "in/b.parquet", PAIRS)
    code = run("parquet", tmp_path / "in", "--out", tmp_path / "out")
    assert code in (0, 2)
    if code == 0:
        assert skipped(tmp_path / "out") and captions(tmp_path / "out")[-6:] == WORDS
