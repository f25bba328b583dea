"""Templates: how a sample of a source becomes a document. Each is a function (sample, size, rng, drop) -> Document.

`drop` is the share of captions and instructions replaced by the null prompt, for classifier-free guidance
(0.1 in ILLUME+; assumed for ILLUME).
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from datamodules.decode import decode_image, sample_image
from models.document import (
    Branches,
    Document,
    Draw,
    Part,
    See,
    Text,
    describe_document,
    draw_document,
    edit_document,
    reconstruct_document,
)

Sample = dict[str, Any]


def _words(sample: Sample, ending: str) -> str:
    return sample[ending].decode("utf-8").strip()


def draw(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """Text-to-image from a raw pair."""
    caption = None if rng.random() < drop else _words(sample, "txt")
    return draw_document(caption, sample_image(sample, size))


def describe(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """Captioning from a raw pair."""
    return describe_document(sample_image(sample, size), _words(sample, "txt"))


def detail(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """Captioning object by object, from a raw pair that has a `dense.txt`."""
    return describe_document(sample_image(sample, size), _words(sample, "dense.txt"), detail=True)


def reconstruct(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """Image reconstruction from a raw pair (stage 1)."""
    return reconstruct_document(sample_image(sample, size))


def document(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """A document as it stands: questions, stories, plain text."""
    return [_part(part, sample, size) for part in json.loads(sample["json"])["parts"]]


def _part(part: dict[str, Any], sample: Sample, size: int) -> Part:
    if "text" in part:
        return Text(part["text"], bool(part.get("learn", False)))
    if "see" in part:
        return See(decode_image(sample[part["see"]], size))
    if "draw" in part:
        return Draw(decode_image(sample[part["draw"]], size))
    if "branches" in part:
        return Branches(tuple(tuple(_part(p, sample, size) for p in way) for way in part["branches"]))
    raise ValueError(f"a part has none of text, see, draw, branches: {sorted(part)}")


def edit(sample: Sample, size: int, rng: Random, drop: float) -> Document:
    """An editing triple: see, instruction, draw."""
    parts = document(sample, size, rng, drop)
    if [type(p) for p in parts] != [See, Text, Draw]:
        raise ValueError("an edit is see, text, draw")
    before, words, after = parts
    return edit_document(before.image, None if rng.random() < drop else words.text, after.image)


TEMPLATES: dict[str, Callable[[Sample, int, Random, float], Document]] = {
    f.__name__: f for f in (draw, describe, detail, reconstruct, document, edit)
}
