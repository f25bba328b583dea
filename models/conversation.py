"""Any-to-any: text and images in, text and images out in the order that the model makes them (ILLUME section 3.2)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from models.document import Document, Draw, See, Text, draw_document, edit_document
from models.generation import SamplingConfig
from models.language.decoding import generate_tokens
from models.sequence import Segment

if TYPE_CHECKING:
    from models.unified import Illume

MOST_IMAGES = 4  # in one answer
HALF = "\ufffd"  # what a text tokenizer writes for a character of which bytes are missing


def converse(
    model: "Illume",
    parts: Sequence[str | Tensor],
    seed: int = 0,
    sampling: SamplingConfig | None = None,
    limit: int | None = None,
) -> Iterator[str | Tensor]:
    """Answers one turn of the user, as it comes about.

    Args:
        model: with all parts.
        parts: of the user's turn: text and images (3, H, W).
        seed: of what is drawn.
        sampling: of what is drawn, laid over the model's own (`generation.chat`).
        limit: tokens of one text; None: the model's own.

    Yields:
        Pieces of text, which belong together up to the next image, and images (3, H, W) uint8.

    Raises:
        ValueError: a component is missing, or what was said has become longer than the context.
    """
    own = model.generation
    sampling = own.chat.override(sampling)
    limit = limit or own.max_new_tokens.chat
    document: list[Text | See | Draw] = [Text(p) if isinstance(p, str) else See(p) for p in parts]
    for number in range(MOST_IMAGES):
        segment = model.segment(document, ask=not number)
        if number:  # go on inside the assistant's turn: take back what closes it in training
            segment = segment.until(-len(model.language.turns.end))
        written: list[int] = []
        yield from _speak(model, segment, limit, written)
        if words := model.words(written):
            document.append(Text(words, learn=True))
        if not written or written[-1] != model.language.vocabulary.special("begin_image"):
            return
        opened = [*document, Draw(None)]
        null = opened if sampling.cfg == 1 else _null(model, document)
        of_image = seed + len(document) - len(parts)
        (image,) = model.draw_documents([opened], [null], [of_image], sampling)
        yield image
        document.append(Draw(image))


def _null(model: "Illume", document: Document) -> Document:
    """What guidance is away from: an edit's null prompt where an image was shown, else a drawing's."""
    seen = [part for part in document if isinstance(part, See)]
    if seen:
        return edit_document(seen[-1].image, None, prompts=model.prompts)
    return draw_document(None, prompts=model.prompts)


def _speak(model: "Illume", segment: Segment, limit: int, written: list[int]) -> Iterator[str]:
    """Words, piece by piece; `written` is given the ids."""
    told = ""
    for ids in generate_tokens(model.language, [segment], model.seen([segment]), limit):
        written += ids.tolist()
        words = model.words(written)
        if len(words) > len(told) and not words.endswith(HALF):
            yield words[len(told) :]
            told = words
    if len(words := model.words(written)) > len(told):
        yield words[len(told) :]
