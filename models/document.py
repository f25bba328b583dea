"""A document is a list of parts: `Text`, `See` and `Draw`. Every task is a document; only the template differs.

The prompts follow ILLUME+ (one sentence a task; assumed for ILLUME, which does not print its own). The null prompts
are what classifier-free guidance takes as its condition-less twin; reconstruction is also the null prompt of editing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Image = TypeVar("Image")

DRAW_PROMPT = "draw : {caption}"
DRAW_NULL_PROMPT = "draw a random image"
DESCRIBE_PROMPT = "describe the image"
DETAIL_PROMPT = "describe the image in detail"
EDIT_PROMPT = "edit the image : {instruction}"
RECONSTRUCT_PROMPT = "reconstruct the image"
ASSESS_PROMPT = "does the image show : {caption} ?"
REDRAW_PROMPT = "draw it again : {caption}"
PROMPTS = (
    DRAW_PROMPT,
    DRAW_NULL_PROMPT,
    DESCRIBE_PROMPT,
    DETAIL_PROMPT,
    EDIT_PROMPT,
    RECONSTRUCT_PROMPT,
    ASSESS_PROMPT,
    REDRAW_PROMPT,
)


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


def _filled(prompt: str, **words: str) -> str:
    """Fills a prompt by replacement: braces in the words stay text."""
    for name, word in words.items():
        prompt = prompt.replace("{" + name + "}", word)
    return prompt


def draw_document(caption: str | None, image: Image | None = None) -> list[Part]:
    """Text-to-image; a caption of None gives the null prompt."""
    prompt = DRAW_NULL_PROMPT if caption is None else _filled(DRAW_PROMPT, caption=caption)
    return [Text(prompt), Draw(image)]


def edit_document(before: Image, instruction: str | None, after: Image | None = None) -> list[Part]:
    """Editing; an instruction of None gives the null prompt, whose target is the image itself (ILLUME+)."""
    if instruction is None:
        return [See(before), Text(RECONSTRUCT_PROMPT), Draw(before if after is not None else None)]
    return [See(before), Text(_filled(EDIT_PROMPT, instruction=instruction)), Draw(after)]


def reconstruct_document(image: Image) -> list[Part]:
    """Stage 1's image reconstruction: see an image, write that image's tokens (ILLUME section 3.3)."""
    return edit_document(image, None, image)


def describe_document(image: Image, caption: str | None = None, detail: bool = False) -> list[Part]:
    """Captioning; without a caption it is the question alone."""
    document: list[Part] = [See(image), Text(DETAIL_PROMPT if detail else DESCRIBE_PROMPT)]
    return document if caption is None else [*document, Text(caption, learn=True)]


def assess_document(image: Image, caption: str, assessment: str | None = None) -> list[Part]:
    """Self-enhancement's first turn: how well an image shows what was asked for (ILLUME section 3.4)."""
    asked: list[Part] = [See(image), Text(_filled(ASSESS_PROMPT, caption=caption))]
    return asked if assessment is None else [*asked, Text(assessment, learn=True)]


def redraw_document(image: Image, caption: str, assessment: str, better: Image | None = None) -> list[Part]:
    """Both turns of self-enhancement: a bad image is assessed, then drawn again (ILLUME section 3.4)."""
    words = Text(_filled(REDRAW_PROMPT, caption=caption))
    return [*assess_document(image, caption, assessment), words, Draw(better)]
