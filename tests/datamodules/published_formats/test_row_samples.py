"""Rows as samples: pairs, dialogues, edits."""

import json

import pytest

from models.document import Draw, See, Text
from tests.datamodules.conversions import documents, run
from tests.datamodules.published_formats.arrow_tables import image, parquet

arrow = pytest.importorskip("pyarrow")


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
