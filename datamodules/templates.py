"""Templates: how a sample of a source becomes a document. Each is a function (sample, size, rng, drop) -> Document.

`drop` is the share of captions and instructions replaced by the null prompt, for classifier-free guidance
(0.1 in ILLUME+; assumed for ILLUME). A document that draws nothing sees its images whole where `longest` is given (for
the sequencer to slice), with sides of no more than that; all others are squares of `size`.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from torch import Tensor

from datamodules.decode import IMAGE_ENDINGS, decode_image, sample_image, sample_json, sample_text
from datamodules.made_ahead import made_ahead
from models.document import (
    Branches,
    Document,
    Draw,
    Part,
    See,
    Text,
    describe_document,
    draw_document,
    draws,
    edit_document,
    reconstruct_document,
)

Sample = dict[str, Any]
IMAGE_MARK = "<image>"  # where LLaVA's conversations put the image
HUMAN, MODEL = ("human", "user"), ("gpt", "assistant", "model")


def _drawn(sample: Sample, name: str, size: int, image: Tensor | None = None) -> Draw:
    """An image to be drawn, by its codes if they were made ahead of time; `name` is "" for a raw pair's.

    An image that is decoded already is given, not decoded again.
    """
    codes = made_ahead(sample, name, "codes")
    if codes is not None:
        return Draw(codes=codes)
    return Draw(_image(sample, name, size) if image is None else image)


def _seen(sample: Sample, name: str, size: int, longest: int | None = None) -> See:
    """An image to be seen, by its features if they were made ahead of time; `name` is "" for a raw pair's.

    Features made ahead are the square's: an image that is seen whole does without.
    """
    features = made_ahead(sample, name, "features") if longest is None else None
    return See(_image(sample, name, size, longest)) if features is None else See(features=features)


def _image(sample: Sample, name: str, size: int, longest: int | None = None) -> Tensor:
    return _member(name, sample, size, longest) if name else sample_image(sample, size, longest)


def _about(seen: See, document: Document) -> Document:
    """A document that begins with an image, about this one."""
    return [seen, *document[1:]]


def draw(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """Text-to-image from a raw pair."""
    caption = None if rng.random() < drop else sample_text(sample, "txt")
    return [*draw_document(caption)[:-1], _drawn(sample, "", size)]


def describe(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """Captioning from a raw pair."""
    return _about(_seen(sample, "", size, longest), describe_document(None, sample_text(sample, "txt")))


def detail(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """Captioning object by object, from a raw pair that has a `dense.txt`."""
    words = sample_text(sample, "dense.txt")
    return _about(_seen(sample, "", size, longest), describe_document(None, words, detail=True))


def reconstruct(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """Image reconstruction from a raw pair (stage 1)."""
    return _rebuilt(_seen(sample, "", size), sample, "", size)


def _rebuilt(seen: See, sample: Sample, name: str, size: int) -> Document:
    """Image reconstruction of a seen image, which is one image in memory where neither use was made ahead."""
    return [seen, *reconstruct_document(None)[1:-1], _drawn(sample, name, size, seen.image)]


def document(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """A document as it stands: questions, interleaved stories, plain text."""
    said = sample_json(sample)
    parts = said.get("parts") if isinstance(said, Mapping) else None
    if not isinstance(parts, list) or not parts:
        raise ValueError('a json is of another shape: a document is {"parts": [...]}')
    named = [_part(part) for part in parts]
    return _loaded(named, sample, size, None if draws(named) else longest)


def _part(part: Any) -> Part:
    """A part whose image is still its name."""
    if not isinstance(part, Mapping):
        raise ValueError("a part of a document is no object")
    if isinstance(part.get("text"), str):
        return Text(part["text"], bool(part.get("learn", False)))
    if isinstance(part.get("see"), str):
        return See(part["see"])
    if isinstance(part.get("draw"), str):
        return Draw(part["draw"])
    if isinstance(part.get("branches"), list) and all(isinstance(way, list) for way in part["branches"]):
        return Branches(tuple(tuple(map(_part, way)) for way in part["branches"]))
    raise ValueError("a part of a document has none of text, see, draw, branches")


def _loaded(parts: Document, sample: Sample, size: int, longest: int | None) -> list[Part]:
    """The parts with their images in place of the images' names."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, See):
            part = _seen(sample, part.image, size, longest)
        elif isinstance(part, Draw):
            part = _drawn(sample, part.image, size)
        elif isinstance(part, Branches):
            part = Branches(tuple(tuple(_loaded(way, sample, size, longest)) for way in part.ways))
        found.append(part)
    return found


def _member(name: str, sample: Sample, size: int, longest: int | None) -> Tensor:
    if name.startswith("__") or not isinstance(sample.get(name), bytes):
        raise ValueError("a document names an image that is not in its sample")
    return decode_image(sample[name], size, longest)


def text(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """Plain text, all of it to be learned, from the `txt` of a sample."""
    return [Text(sample_text(sample, "txt"), learn=True)]


def conversation(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """A LLaVA-style conversation: a `json` of {"conversations": [{"from": "human", "value": "<image> ..."}, ...]}.

    The image, if the sample has one, stands where `<image>` does, or first of all where the mark is missing.
    """
    said = sample_json(sample)
    turns = said.get("conversations") if isinstance(said, Mapping) else said
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise ValueError(
            'a json is of another shape: a conversation is {"conversations": [{"from", "value"}, ...]}'
        )
    image = _seen(sample, "", size, longest) if any(ending in sample for ending in IMAGE_ENDINGS) else None
    parts: list[Part] = []
    for turn in turns:
        parts += _turn(turn, image, seen=any(isinstance(part, See) for part in parts))
    if image is not None and not any(isinstance(part, See) for part in parts):
        parts.insert(0, image)
    return parts


def _turn(turn: Mapping[str, Any], image: See | None, seen: bool) -> Sequence[Part]:
    who, words = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    if who not in (*HUMAN, *MODEL) or not isinstance(words, str):
        raise ValueError("a turn of a conversation is neither a human's nor a model's words")
    if who in MODEL:
        return [Text(words.strip(), learn=True)]
    before, mark, after = words.partition(IMAGE_MARK)
    if not mark:
        return [Text(words.strip())]
    if image is None or seen or IMAGE_MARK in after:
        raise ValueError("a conversation has more places for images than images")
    around = [Text(part.strip()) if part.strip() else None for part in (before, after)]
    return [part for part in (around[0], image, around[1]) if part is not None]


def edit(sample: Sample, size: int, rng: Random, drop: float, longest: int | None = None) -> Document:
    """An editing triple: see, instruction, draw."""
    parts = document(sample, size, rng, drop)
    if [type(p) for p in parts] != [See, Text, Draw]:
        raise ValueError("an edit is see, text, draw")
    before, words, after = parts
    if rng.random() >= drop:
        return [before, *edit_document(None, words.text)[1:-1], after]
    name = sample_json(sample)["parts"][0]["see"]
    return _rebuilt(before, sample, name, size)


TEMPLATES: dict[str, Callable[..., Document]] = {
    f.__name__: f for f in (draw, describe, detail, reconstruct, document, text, conversation, edit)
}
