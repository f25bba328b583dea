"""Templates: how a sample of a source becomes a document. Each is a function (sample, size, rng, drop) -> Document.

`drop` is the share of captions and instructions replaced by the null prompt, for classifier-free guidance
(0.1 in ILLUME+; assumed for ILLUME); `prompts` are the words of the model's tasks. A document that draws nothing sees
its images whole where `longest` is given (for the sequencer to slice), with sides of no more than that; all others are
squares of `size`. What is drawn is a square of `draw_size`, which the tokenizer's encoder takes (None: `size`).
"""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from torch import Tensor

from datamodules.conversations import read_dialogue
from datamodules.decode import (
    MOST_PLAIN_TEXT,
    decode_image,
    image_endings,
    sample_image,
    sample_json,
    sample_text,
)
from datamodules.precomputed import made_ahead
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
from models.prompts import PLAYGROUND, Prompts

Sample = dict[str, Any]


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


def draw(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """Text-to-image from a raw pair."""
    caption = None if rng.random() < drop else sample_text(sample, "txt")
    return [*draw_document(caption, prompts=prompts)[:-1], _drawn(sample, "", draw_size or size)]


def describe(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """Captioning from a raw pair."""
    return _about(
        _seen(sample, "", size, longest), describe_document(None, sample_text(sample, "txt"), prompts=prompts)
    )


def detail(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """Captioning object by object, from a raw pair that has a `dense.txt`."""
    words = sample_text(sample, "dense.txt")
    return _about(
        _seen(sample, "", size, longest), describe_document(None, words, detail=True, prompts=prompts)
    )


def reconstruct(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """Image reconstruction from a raw pair (stage 1)."""
    return _rebuilt(_seen(sample, "", size), sample, "", draw_size or size, prompts)


def _rebuilt(seen: See, sample: Sample, name: str, size: int, prompts: Prompts) -> Document:
    """Image reconstruction of a seen image, one in memory where both uses are of one size and neither was made ahead."""
    fits = seen.image is not None and seen.image.shape[-1] == size
    drawn = _drawn(sample, name, size, seen.image if fits else None)
    return [seen, *reconstruct_document(None, prompts)[1:-1], drawn]


def document(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """A document as it stands: questions, interleaved stories, plain text."""
    said = sample_json(sample)
    parts = said.get("parts") if isinstance(said, Mapping) else None
    if not isinstance(parts, list) or not parts:
        raise ValueError('a json is of another shape: a document is {"parts": [...]}')
    named = [_part(part) for part in parts]
    return _loaded(named, sample, size, draw_size or size, None if draws(named) else longest)


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


def _loaded(parts: Document, sample: Sample, size: int, draw_size: int, longest: int | None) -> list[Part]:
    """The parts with their images in place of the images' names."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, See):
            part = _seen(sample, part.image, size, longest)
        elif isinstance(part, Draw):
            part = _drawn(sample, part.image, draw_size)
        elif isinstance(part, Branches):
            ways = (_loaded(way, sample, size, draw_size, longest) for way in part.ways)
            part = Branches(tuple(map(tuple, ways)))
        found.append(part)
    return found


def _member(name: str, sample: Sample, size: int, longest: int | None) -> Tensor:
    if name.startswith("__") or not isinstance(sample.get(name), bytes):
        raise ValueError("a document names an image that is not in its sample")
    return decode_image(sample[name], size, longest)


def text(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """Plain text, all of it to be learned, from the `txt` of a sample."""
    return [Text(sample_text(sample, "txt", MOST_PLAIN_TEXT), learn=True)]


def conversation(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """A dialogue as others write it (`datamodules/conversations.py`), or a document as `datamodules.convert` writes it.

    Its images are the members that are images, in the order of their names: `jpg` alone, or `0.jpg`, `1.jpg`, ...
    """
    said = sample_json(sample)
    if isinstance(said, Mapping) and "parts" in said:
        return document(sample, size, rng, drop, longest, prompts, draw_size)
    named = read_dialogue(said).parts(sorted(image_endings(sample), key=_by_number))
    return [_seen(sample, part.image, size, longest) if isinstance(part, See) else part for part in named]


def _by_number(name: str) -> list[tuple[int, str]]:
    """Orders names so that 10.jpg follows 9.jpg."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]


def edit(
    sample: Sample,
    size: int,
    rng: Random,
    drop: float,
    longest: int | None = None,
    prompts: Prompts = PLAYGROUND,
    draw_size: int | None = None,
) -> Document:
    """An editing triple: see, instruction, draw."""
    parts = document(sample, size, rng, drop, draw_size=draw_size)
    if [type(p) for p in parts] != [See, Text, Draw]:
        raise ValueError("an edit is see, text, draw")
    before, words, after = parts
    if rng.random() >= drop:
        return [before, *edit_document(None, words.text, prompts=prompts)[1:-1], after]
    name = sample_json(sample)["parts"][0]["see"]
    return _rebuilt(before, sample, name, draw_size or size, prompts)


TEMPLATES: dict[str, Callable[..., Document]] = {
    f.__name__: f for f in (draw, describe, detail, reconstruct, document, text, conversation, edit)
}
