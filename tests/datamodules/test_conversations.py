"""Dialogues of all the usual shapes become parts; what a model cannot learn from is refused by name."""

import json

import pytest

from datamodules.conversations import has_dialogue, read_dialogue
from models.document import See, Text

SEE, ASKED, ANSWER = See(0), Text("what ?"), Text("a circle", learn=True)


def talk(*turns):
    return [{"from": who, "value": said} for who, said in turns]


def parts(row, images=1):
    return read_dialogue(row).parts(range(images))


ONE = talk(("human", "<image>\nwhat ?"), ("gpt", "a circle"))


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": ONE},
        ONE,
        {"conversations": json.dumps(ONE)},
        {"conversations": {"from": ["human", "gpt"], "value": ["<image>\nwhat ?", "a circle"]}},
        {
            "messages": [
                {"role": "user", "content": "<image>what ?"},
                {"role": "assistant", "content": "a circle"},
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "index": 0}, {"type": "text", "text": "what ?"}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "a circle", "index": None}]},
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "text": ""}, {"type": "text", "text": "what ?"}],
                },
                {"role": "assistant", "content": "a circle"},
            ]
        },
        {"texts": [{"user": "what ?", "assistant": "a circle", "source": "x"}]},
        {"conversations": talk(("User", "what ? "), ("Model", " a circle\n")), "image": "x.jpg"},
        {"conversations": [*ONE], "system": "", "tools": "[]", "video": None, "images": ["x.jpg"]},
    ],
)
def test_dialogues_of_many_shapes_are_one_document(row):
    assert parts(row) == [SEE, ASKED, ANSWER]
    assert not isinstance(row, dict) or has_dialogue(row)


def test_images_replace_their_marks():
    row = {"conversations": talk(("human", "<image>\n<image>\nwhat ?"), ("gpt", "a circle"))}
    assert parts(row, 2) == [See(0), See(1), ASKED, ANSWER]
    row = talk(
        ("human", "first: <image> then: <image>"), ("gpt", "yes"), ("human", "<image> what ?"), ("gpt", "no")
    )
    assert parts(row, 3) == [
        *(Text("first:"), See(0), Text("then:"), See(1), Text("yes", learn=True)),
        *(See(2), ASKED, Text("no", learn=True)),
    ]


def test_images_without_marks_come_first():
    assert parts(talk(("human", "what ?"), ("gpt", "a circle")), 2) == [See(0), See(1), ASKED, ANSWER]


def test_a_mark_in_an_answer_or_a_system_turn_is_text():
    row = talk(("system", "an <image> follows"), ("human", "<image>\nwhat ?"), ("gpt", "<image> is a tag"))
    assert parts(row) == [Text("an <image> follows"), SEE, ASKED, Text("<image> is a tag", learn=True)]
    assert parts(talk(("human", "what ?"), ("gpt", "write <image>")), 0) == [
        ASKED,
        Text("write <image>", learn=True),
    ]


def test_a_system_turn_opens_the_users():
    row = talk(
        ("system", "answer shortly ."),
        ("human", "what ?"),
        ("gpt", "a circle"),
        ("human", "sure ?"),
        ("gpt", "yes"),
    )
    assert parts(row, 0)[:2] == [Text("answer shortly .\nwhat ?"), ANSWER]
    row = {"system": "answer shortly .", "conversations": ONE}
    assert parts(row) == [Text("answer shortly ."), SEE, ASKED, ANSWER]
    assert parts({"conversations": [{"from": "system", "value": " "}, *ONE]}) == [SEE, ASKED, ANSWER]


def test_turns_of_one_side_are_lines_of_one_text():
    row = talk(("human", "<image>"), ("human", "what ?"), ("gpt", "a circle"), ("gpt", "red"))
    assert parts(row) == [SEE, ASKED, Text("a circle\nred", learn=True)]


def image(source):
    return {"type": "image_url", "image_url": {"url": source}}


def test_images_named_within_turns_come_in_their_order():
    row = {
        "images": ["b.jpg"],
        "messages": [
            {
                "role": "user",
                "content": [image("a.jpg"), "<image>", {"type": "input_image", "image_url": "c.jpg"}],
            },
            {"role": "assistant", "content": "three"},
        ],
    }
    assert read_dialogue(row).sources() == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    "row, images, reason",
    [
        ({"video": "a.mp4", "conversations": ONE}, 1, "a conversation needs a video"),
        ({"videos": ["a.mp4"], "conversations": ONE}, 1, "a conversation needs a video"),
        ({"audio": "a.wav", "conversations": ONE}, 1, "a conversation needs a sound"),
        (talk(("human", "<video>\nwhat ?"), ("gpt", "x")), 0, "a conversation needs a video"),
        (talk(("human", "hear <audio>"), ("gpt", "x")), 0, "a conversation needs a sound"),
        (
            [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}],
            0,
            "a conversation needs a video",
        ),
        ([{"role": "user", "content": [{"type": "audio"}]}], 0, "a conversation needs a sound"),
        (
            [{"role": "user", "content": [{"type": "hologram"}]}],
            0,
            "a conversation has a part of an unknown type",
        ),
        (ONE, 0, "a conversation has more image marks than images: 1 for 0"),
        ({"image": None, "conversations": ONE}, 0, "a conversation has more image marks than images"),
        (ONE, 2, "a conversation has fewer image marks than images: 1 for 2"),
        (talk(("human", "of <image> and <image>"), ("gpt", "x")), 1, "a conversation has more image marks"),
        (
            {"images": ["a", "b"], "conversations": ONE},
            1,
            "a conversation names other images than there are: 2 of 1",
        ),
        (talk(("human", "draw a dog"), ("gpt", "<image>")), 1, "a conversation has an image in an answer"),
        (talk(("human", "<|image_1|> what ?"), ("gpt", "x")), 1, "a conversation has other image marks"),
        (
            talk(("human", "Picture 1: <img>a.jpg</img> what ?"), ("gpt", "x")),
            0,
            "a conversation has other image marks",
        ),
        ([*ONE, {"from": "observation", "value": "{}"}], 1, "a conversation has tool turns"),
        ([*ONE, {"from": "function_call", "value": "{}"}], 1, "a conversation has tool turns"),
        ([*ONE, {"role": "tool", "content": "{}"}], 1, "a conversation has tool turns"),
        (
            [ONE[0], {"role": "assistant", "content": None, "tool_calls": [{}]}],
            1,
            "a conversation has tool turns",
        ),
        ({"tools": '[{"name": "f"}]', "conversations": ONE}, 1, "a conversation has tools"),
        ([*ONE, {"from": "robot", "value": "x"}], 1, "a conversation has a turn of an unknown role: 'robot'"),
        ([ONE[0], {"from": "gpt", "value": None}], 1, "an answer is empty"),
        ([ONE[0], {"from": "gpt", "value": " \n"}], 1, "an answer is empty"),
        ([{"from": "human", "value": ""}, ONE[1]], 1, "a question is empty"),
        (talk(("human", "<image>\nwhat ?")), 1, "a conversation has no answer"),
        (
            talk(("gpt", "hello"), ("human", "<image>"), ("gpt", "x")),
            1,
            "a conversation begins with an answer",
        ),
        (
            [ONE[0], {"role": "assistant", "content": "x", "weight": 0}],
            1,
            "a conversation has a turn of weight 0",
        ),
        (talk(("human", "a \ud83d"), ("gpt", "x")), 0, "a text holds half of a character"),
        (
            {"image": "a", "images": ["b"], "conversations": ONE},
            1,
            "a row names its images twice, and not alike",
        ),
        ({"id": 4}, 0, "a row has no conversations"),
        ({"conversations": []}, 0, "a row has no conversations"),
        ({"conversations": 7}, 0, "a conversation is of another shape"),
        ({"conversations": "hello"}, 0, "a conversation is of another shape"),
        (
            {"conversations": {"from": ["human"], "value": []}},
            0,
            "a conversation's columns are not of one length",
        ),
        ([{"from": "human", "value": 5}], 0, "a turn of a conversation is neither text nor a list of parts"),
        ([{"role": "user", "text": "x"}], 0, "a turn of a conversation has neither value nor content"),
        ("hello", 0, "a conversation is of another shape"),
        (None, 0, "a conversation is of another shape"),
    ],
)
def test_unsupported_dialogues_are_refused_by_name(row, images, reason):
    with pytest.raises(ValueError) as refused:
        parts(row, images)
    assert str(refused.value).startswith(reason)
