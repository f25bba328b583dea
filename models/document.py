"""A document is a list of parts: `Text`, `See` and `Draw`. Every task is a document; only the template differs.

Each task's prompt is the model's own (`models/prompts.py`): whoever has a model gives `prompts`. The null prompts are
those of classifier-free guidance's unconditional rows; reconstruction is also the null prompt of editing (ILLUME+).
Where the functions below take an image, they also take a `See` or `Draw` that holds it, its features or its codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.prompts import PLAYGROUND, Prompts

Image = Any  # a tensor where a model reads the document; in templates and files also a name


@dataclass(frozen=True)
class Text:
    """Text, a target with `learn`."""

    text: str
    learn: bool = False


@dataclass(frozen=True)
class See:
    """An image that enters as continuous features; with `features` they are known, and the image is not needed."""

    image: Image | None = None
    features: Any | None = None


@dataclass(frozen=True)
class Draw:
    """An image that the model writes as discrete tokens, known already with `codes`; with neither, it is yet to draw."""

    image: Image | None = None
    codes: Sequence[int] | None = None

    @property
    def open(self) -> bool:
        """Whether the model has yet to draw it."""
        return self.image is None and self.codes is None


@dataclass(frozen=True)
class Branches:
    """The last part of a document: continuations that do not see each other, as many questions about one image."""

    branches: "tuple[Sequence[Part], ...]"


Part = Text | See | Draw | Branches
Document = Sequence[Part]


def draws(document: Document) -> bool:
    """Whether anything in a document is to be drawn, in its branches too."""
    return any(
        isinstance(part, Draw) or (isinstance(part, Branches) and any(map(draws, part.branches)))
        for part in document
    )


def draw_document(caption: str | None, image: Image = None, prompts: Prompts = PLAYGROUND) -> list[Part]:
    """Text-to-image; a caption of None gives the null prompt, no image an open Draw."""
    return [Text(prompts.draw_null if caption is None else prompts.fill("draw", caption)), _draw(image)]


def edit_document(
    before: Image, instruction: str | None, after: Image = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Editing; an instruction of None gives the null prompt, to reconstruct, whose target is the image itself."""
    text = prompts.reconstruct if instruction is None else prompts.fill("edit", instruction)
    return [_see(before), Text(text), _draw(after)]


def reconstruct_document(image: Image, prompts: Prompts = PLAYGROUND) -> list[Part]:
    """Stage 1's image reconstruction: see an image, write that image's tokens (ILLUME section 3.3)."""
    return edit_document(image, None, image, prompts)


def describe_document(
    image: Image, caption: str | None = None, detail: bool = False, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Captioning, object by object with `detail`; without a caption it is the question alone."""
    return [_see(image), Text(prompts.detail if detail else prompts.describe), *_answer(caption)]


def assess_document(
    image: Image, caption: str, assessment: str | None = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Self-enhancement's first turn: how well an image shows what was asked for (ILLUME section 3.4)."""
    return [_see(image), Text(prompts.fill("assess", caption)), *_answer(assessment)]


def redraw_document(
    image: Image, caption: str, assessment: str, better: Image = None, prompts: Prompts = PLAYGROUND
) -> list[Part]:
    """Both turns of self-enhancement: a bad image is assessed, then drawn again (ILLUME section 3.4)."""
    redraw = Text(prompts.fill("redraw", caption))
    return [*assess_document(image, caption, assessment, prompts), redraw, _draw(better)]


def _see(image: Image) -> See:
    return image if isinstance(image, See) else See(image)


def _draw(image: Image) -> Draw:
    return image if isinstance(image, Draw) else Draw(image)


def _answer(text: str | None) -> list[Part]:
    return [] if text is None else [Text(text, learn=True)]
