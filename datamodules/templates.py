"""Templates: each makes a document of one sample of a source."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from PIL import Image

from common.images import open_image
from datamodules.conversations import read_dialogue
from datamodules.decode import MAX_PLAIN_TEXT_BYTES, image_endings, sample_image, sample_json, sample_text
from datamodules.precomputed import member_name
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
)
from models.image_input import ImageInput
from models.prompts import PLAYGROUND, Prompts


@dataclass(frozen=True)
class TemplateRequest:
    """A sample, and how it becomes a document.

    Attributes:
        sample: bytes by ending, and what `datamodules/precomputed.py` has read.
        image_size: side of the square that an image is seen as.
        rng: decides what is dropped.
        drop: share of captions and instructions replaced by the null prompt, for classifier-free guidance (0.1 in
            ILLUME+; assumed for ILLUME).
        longest: where the sequencer slices, the longest side of images in documents that draw nothing; None: squares.
        draw_size: side of the square of an image to draw, which the tokenizer's encoder takes; None: `image_size`.
        prompts: of the model.
    """

    sample: Mapping[str, Any]
    image_size: int
    rng: Random = field(default_factory=lambda: Random(0))
    drop: float = 0.0
    longest: int | None = None
    draw_size: int | None = None
    prompts: Prompts = PLAYGROUND

    def drop_text(self) -> bool:
        """Whether the null prompt replaces this sample's text."""
        return self.rng.random() < self.drop

    def see(self, name: str = "", whole: bool = True) -> See:
        """An image to see, by its precomputed features if there are any.

        Args:
            name: of the member; "": the image of a raw pair.
            whole: whether it may be sliced; precomputed features are of the square.
        """
        longest = self.longest if whole else None
        features = self.sample.get(member_name(name, "features")) if longest is None else None
        if features is not None:
            return See(features=features)
        return See(ImageInput(self.image_size, longest)(self._open(name)))

    def draw(self, name: str = "", seen: See | None = None) -> Draw:
        """An image to draw, by its precomputed codes if there are any; `seen` is the same image, where it was seen."""
        codes = self.sample.get(member_name(name, "codes"))
        if codes is not None:
            return Draw(codes=codes)
        size = self.draw_size or self.image_size
        if seen is not None and seen.image is not None and seen.image.shape[-1] == size:
            return Draw(seen.image)  # one tensor: a batch holds it once
        return Draw(ImageInput(size)(self._open(name)))

    def _open(self, name: str) -> Image.Image:
        if not name:
            return sample_image(self.sample)
        if name.startswith("__") or not isinstance(self.sample.get(name), bytes):
            raise ValueError("a document names an image that is not in its sample")
        return open_image(self.sample[name])


def draw(request: TemplateRequest) -> Document:
    """Text-to-image from a raw pair."""
    caption = None if request.drop_text() else sample_text(request.sample, "txt")
    return draw_document(caption, request.draw(), request.prompts)


def describe(request: TemplateRequest) -> Document:
    """Captioning from a raw pair."""
    caption = sample_text(request.sample, "txt")
    return describe_document(request.see(), caption, prompts=request.prompts)


def detail(request: TemplateRequest) -> Document:
    """Captioning object by object, from a raw pair that has a `dense.txt`."""
    caption = sample_text(request.sample, "dense.txt")
    return describe_document(request.see(), caption, detail=True, prompts=request.prompts)


def reconstruct(request: TemplateRequest) -> Document:
    """Image reconstruction from a raw pair (stage 1)."""
    seen = request.see(whole=False)
    return edit_document(seen, None, request.draw(seen=seen), request.prompts)


def document(request: TemplateRequest) -> Document:
    """A document as it is written: questions, interleaved stories, plain text."""
    parts = _named_parts(request.sample)
    return _load_images(parts, request, whole=not draws(parts))


def text(request: TemplateRequest) -> Document:
    """Plain text, all of it to be learned, from the `txt` of a sample."""
    return [Text(sample_text(request.sample, "txt", MAX_PLAIN_TEXT_BYTES), learn=True)]


def conversation(request: TemplateRequest) -> Document:
    """A dialogue (`datamodules/conversations.py`), or a document as `datamodules.convert` writes it.

    Its images are the members that are images, in the order of their names: `jpg` alone, or `0.jpg`, `1.jpg`, ...
    """
    content = sample_json(request.sample)
    if isinstance(content, Mapping) and "parts" in content:
        return document(request)
    names = sorted(image_endings(request.sample), key=_by_number)
    return _load_images(read_dialogue(content).parts(names), request, whole=True)


def edit(request: TemplateRequest) -> Document:
    """An editing triple: see, instruction, draw; without its instruction, the reconstruction of what is seen."""
    named = _named_parts(request.sample)
    match named, _load_images(named, request, whole=False):
        case [See(str(name)), *_], [See() as before, Text(instruction), Draw() as after]:
            if request.drop_text():
                return edit_document(before, None, request.draw(name, before), request.prompts)
            return edit_document(before, instruction, after, request.prompts)
    raise ValueError("an edit is see, text, draw")


def _named_parts(sample: Mapping[str, Any]) -> Document:
    """The parts of a sample's document, whose images are still names."""
    content = sample_json(sample)
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if not isinstance(parts, list) or not parts:
        raise ValueError('a json is of another shape: a document is {"parts": [...]}')
    return [_parse_part(part) for part in parts]


def _parse_part(part: Any) -> Part:
    match part:
        case {"text": str(text)}:
            return Text(text, bool(part.get("learn", False)))
        case {"see": str(name)}:
            return See(name)
        case {"draw": str(name)}:
            return Draw(name)
        case {"branches": [*branches]} if all(isinstance(branch, list) for branch in branches):
            return Branches(tuple(tuple(map(_parse_part, branch)) for branch in branches))
        case Mapping():
            raise ValueError("a part of a document has none of text, see, draw, branches")
    raise ValueError("a part of a document is no object")


def _load_images(parts: Document, request: TemplateRequest, whole: bool) -> list[Part]:
    """The parts with their images loaded."""
    loaded: list[Part] = []
    for part in parts:
        match part:
            case See(str(name)):
                part = request.see(name, whole)
            case Draw(str(name)):
                part = request.draw(name)
            case Branches():
                part = Branches(tuple(tuple(_load_images(b, request, whole)) for b in part.branches))
        loaded.append(part)
    return loaded


def _by_number(name: str) -> list[tuple[int, str]]:
    """Orders names so that 10.jpg follows 9.jpg."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]


TEMPLATES: dict[str, Callable[[TemplateRequest], Document]] = {
    f.__name__: f for f in (draw, describe, detail, reconstruct, document, text, conversation, edit)
}
