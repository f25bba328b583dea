"""Templates: samples become documents; captions are dropped at the asked share; the null edit keeps its image."""

import io
import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.templates import TEMPLATES, TemplateRequest
from models.document import Branches, Draw, See, Text
from models.prompts import PLAYGROUND


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((48, 48, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


PAIR = {"png": png(9), "txt": b"a red circle\n", "dense.txt": b"large red circle top left"}
EDIT = {
    "json": json.dumps({"parts": [{"see": "0.png"}, {"text": "make it blue"}, {"draw": "1.png"}]}).encode(),
    "0.png": png(1),
    "1.png": png(2),
}


@pytest.mark.parametrize("name", ["draw", "describe", "detail", "reconstruct"])
def test_pairs(name):
    document = TEMPLATES[name](TemplateRequest(PAIR, 48))
    kinds = {"draw": [Text, Draw], "reconstruct": [See, Text, Draw]}.get(name, [See, Text, Text])
    assert [type(p) for p in document] == kinds
    if name == "detail":
        assert document[-1] == Text("large red circle top left", learn=True)


def test_captions_are_dropped_at_the_share_asked_for():
    rng = random.Random(0)
    prompts = [TEMPLATES["draw"](TemplateRequest(PAIR, 48, rng, 0.1))[0].text for _ in range(1000)]
    assert 70 < prompts.count(PLAYGROUND.draw_null) < 130


def test_the_null_edit_reconstructs_its_image():
    null = TEMPLATES["edit"](TemplateRequest(EDIT, 48, drop=1.0))
    real = TEMPLATES["edit"](TemplateRequest(EDIT, 48))
    assert null[1].text == PLAYGROUND.reconstruct and torch.equal(null[0].image, null[2].image)
    assert real[1].text.endswith("make it blue") and int(real[2].image.max()) == 2


def test_questions_about_one_image_are_branches():
    ways = [[{"text": q}, {"text": "yes", "learn": True}] for q in ("is it red ?", "is it blue ?")]
    parts = json.dumps({"parts": [{"see": "0.png"}, {"branches": ways}]}).encode()
    image, questions = TEMPLATES["document"](TemplateRequest({"json": parts, "0.png": png(3)}, 48))
    assert isinstance(image, See)
    assert questions == Branches(
        ((Text("is it red ?"), Text("yes", learn=True)), (Text("is it blue ?"), Text("yes", learn=True)))
    )


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"7",
        b'{"parts": 3}',
        b'{"parts": []}',
        b'{"parts": ["text"]}',
        b'{"parts": [{"hear": "x"}]}',
        b'{"parts": [{"text": 5}]}',
        b'{"parts": [{"see": "other.png"}]}',
        b'{"parts": [{"see": "__key__"}]}',
        b'{"parts": [{"branches": ["a"]}]}',
    ],
)
def test_a_document_of_another_shape_is_refused(content):
    with pytest.raises(ValueError, match="^a (json is of another shape|part|document)"):
        TEMPLATES["document"](TemplateRequest({"json": content, "__key__": "k"}, 48))


def conversation(*turns, **members):
    said = {"conversations": [{"from": who, "value": words} for who, words in turns]}
    sample = {"json": json.dumps(said).encode()} | members
    return TEMPLATES["conversation"](TemplateRequest(sample, 48))


def test_a_conversation_sees_its_image_at_the_mark():
    parts = conversation(
        ("human", "<image>\nwhat is it ?"), ("gpt", "a dog"), ("human", "sure ?"), ("gpt", "yes"), jpg=png(3)
    )
    assert isinstance(parts[0], See) and int(parts[0].image.max()) == 3
    assert parts[1:] == [
        Text("what is it ?"),
        Text("a dog", learn=True),
        Text("sure ?"),
        Text("yes", learn=True),
    ]
    after = conversation(("human", "what is it ? <image>"), ("gpt", "a dog"), png=png(3))
    assert [type(part) for part in after] == [Text, See, Text]
    unmarked = conversation(("human", "what is it ?"), ("gpt", "a dog"), png=png(3))
    assert [type(part) for part in unmarked] == [See, Text, Text]
    assert conversation(("human", "hello"), ("gpt", "hi")) == [Text("hello"), Text("hi", learn=True)]


@pytest.mark.parametrize(
    "turns",
    [
        [("human", "<image>")],
        [("robot", "hello")],
        [],
    ],
)
def test_a_conversation_of_another_shape_is_refused(turns):
    with pytest.raises(ValueError, match="conversation"):
        conversation(*turns)


def test_a_conversation_sees_several_images_in_the_order_of_their_numbers():
    images = {f"{i}.png": png(i) for i in (10, 2, 0, 1)}
    parts = conversation(("human", "what ?"), ("gpt", "four"), **images)
    assert [int(part.image.max()) for part in parts[:4]] == [0, 1, 2, 10]
    parts = conversation(
        ("human", "a <image> b <image>"), ("gpt", "two"), **{"0.jpg": png(7), "1.png": png(8)}
    )
    assert [type(part) for part in parts] == [Text, See, Text, See, Text]
    assert [int(part.image.max()) for part in parts if isinstance(part, See)] == [7, 8]


@pytest.mark.parametrize(
    "said, members, reason",
    [
        ({"image": "a.jpg"}, {}, "a conversation names other images than there are: 1 of 0"),
        (
            {"image": ["a.jpg", "b.jpg"]},
            {"jpg": png(3)},
            "a conversation names other images than there are: 2 of 1",
        ),
        ({"video": "a.mp4"}, {"jpg": png(3)}, "a conversation needs a video"),
        ({}, {"jpg": png(3), "png": png(3)}, "a conversation has fewer image marks than images"),
    ],
)
def test_a_conversation_without_its_images_is_never_trained_blind(said, members, reason):
    turns = [{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "a dog"}]
    sample = {"json": json.dumps({"conversations": turns} | said).encode()} | members
    with pytest.raises(ValueError, match=reason):
        TEMPLATES["conversation"](TemplateRequest(sample, 48))


def test_a_conversation_that_was_converted_is_a_document():
    parts = [{"see": "0.png"}, {"text": "what ?", "learn": False}, {"text": "a dog", "learn": True}]
    sample = {"json": json.dumps({"parts": parts}).encode(), "0.png": png(3)}
    read = TEMPLATES["conversation"](TemplateRequest(sample, 48))
    assert [type(part) for part in read] == [See, Text, Text] and read[1:] == [
        Text("what ?"),
        Text("a dog", learn=True),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_words_with_a_byte_order_mark_are_learned_without_it(encoding):
    sample = {"txt": "a caf\xe9".encode(encoding)}
    assert TEMPLATES["text"](TemplateRequest(sample, 48)) == [Text("a caf\xe9", learn=True)]


def test_plain_text_is_learned():
    assert TEMPLATES["text"](TemplateRequest({"txt": b"once upon"}, 48)) == [Text("once upon", learn=True)]
