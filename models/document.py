"""A document is a list of parts: `Text`, `See` and `Draw`. Every task is a document; only the template differs.

Each task's words are the model's own (`models/prompts.py`): whoever has a model gives `prompts`. The null prompts are
what classifier-free guidance takes as its condition-less twin; reconstruction is also the null prompt of editing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.prompts import PLAYGROUND, Prompts

Image = TypeVar("Image")


@dataclass(frozen=True)
class Text:
    """Words. With `learn`, the model is trained to write them."""

    text: str
    learn: bool = False


@dataclass(frozen=True)
class See(Generic[Image]):
    """An image that enters as continuous features; with `features` they are known, and the image is not needed."""

    image: Image | None = None
    features: Any | None = None


@dataclass(frozen=True)
class Draw(Generic[Image]):
    """An image that the model writes as discrete tokens.

    With `codes`, its tokens are known already and the image is not needed; with neither, the model has yet to draw it.
    """

    image: Image | None = None
    codes: Sequence[int] | None = None

    @property
    def open(self) -> bool:
        """Whether the model has yet to draw it."""
        return self.image is None and self.codes is None


@dataclass(frozen=True)
class Branches:
    """Ways to go on from what stands before, as many questions about one image; none of them sees another.

    The last part of a document. Each way is what would stand there if it were the only one, and begins with given words.
    """

    ways: "tuple[tuple[Text | See | Draw, ...], ...]"


Part = Text | See | Draw | Branches
Document = Sequence[Part]


def draws(document: Document) -> bool:
    """Whether anything in a document is to be drawn, in its branches too."""
    return any(
        isinstance(part, Draw) or (isinstance(part, Branches) and any(map(draws, part.ways)))
        for part in document
    )


def draw_document(
    caption: str | None, image: Image | None = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Text-to-image; a caption of None gives the null prompt."""
    return [Text(prompts.draw_null if caption is None else prompts.fill("draw", caption)), Draw(image)]


def edit_document(
    before: Image, instruction: str | None, after: Image | None = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Editing; an instruction of None gives the null prompt, whose target is the image itself (ILLUME+)."""
    if instruction is None:
        return [See(before), Text(prompts.reconstruct), Draw(before if after is not None else None)]
    return [See(before), Text(prompts.fill("edit", instruction)), Draw(after)]


def reconstruct_document(image: Image, prompts: Prompts = PLAYGROUND) -> list[Part]:
    """Stage 1's image reconstruction: see an image, write that image's tokens (ILLUME section 3.3)."""
    return edit_document(image, None, image, prompts)


def describe_document(
    image: Image, caption: str | None = None, detail: bool = False, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Captioning; without a caption it is the question alone."""
    document: list[Part] = [See(image), Text(prompts.detail if detail else prompts.describe)]
    return document if caption is None else [*document, Text(caption, learn=True)]


def assess_document(
    image: Image, caption: str, assessment: str | None = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Self-enhancement's first turn: how well an image shows what was asked for (ILLUME section 3.4)."""
    asked: list[Part] = [See(image), Text(prompts.fill("assess", caption))]
    return asked if assessment is None else [*asked, Text(assessment, learn=True)]


def redraw_document(
    image: Image,
    caption: str,
    assessment: str,
    better: Image | None = None,
    prompts: Prompts = PLAYGROUND,
) -> list[Part]:
    """Both turns of self-enhancement: a bad image is assessed, then drawn again (ILLUME section 3.4)."""
    words = Text(prompts.fill("redraw", caption))
    return [*assess_document(image, caption, assessment, prompts), words, Draw(better)]
