"""Any-to-any: text and images in, text and images out in the order that the model makes them (ILLUME section 3.2)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from models.document import Document, Draw, Part, See, Text, draw_document, edit_document
from models.document_model import DocumentModel
from models.generation import SamplingConfig
from models.language.text_generation import generate_tokens
from models.sequence import Segment

MAX_IMAGES = 4  # in one answer
INCOMPLETE = "\ufffd"  # what a text tokenizer decodes a character to of which bytes are missing


def converse(
    model: DocumentModel,
    parts: Sequence[str | Tensor],
    seed: int = 0,
    sampling: SamplingConfig | None = None,
    limit: int | None = None,
) -> Iterator[str | Tensor]:
    """Answers one turn of the user; see `Illume.chat` for the arguments.

    Yields:
        Pieces of text, which belong together up to the next image, and images (3, H, W) uint8.

    Raises:
        ValueError: a component is missing, or the turn and its answer are longer than the context.
    """
    sampling = model.generation.chat.override(sampling)
    limit = limit or model.generation.max_new_tokens.chat
    document: list[Part] = [Text(part) if isinstance(part, str) else See(part) for part in parts]
    for number in range(MAX_IMAGES):
        (prompt,) = model.encode_prompts([document], ask=not number)
        if number:  # go on inside the assistant's turn: take back what closes it in training
            prompt = prompt[: -len(model.language.turns.end)]
        written: list[int] = []
        yield from _write(model, prompt, limit, written)
        if text := model.decode_text(written):
            document.append(Text(text, learn=True))
        if not written or written[-1] != model.language.vocabulary.special("begin_image"):
            return
        opened = [*document, Draw(None)]
        null = opened if sampling.cfg == 1 else _null_prompt(model, document)
        image_seed = seed + len(document) - len(parts)
        (image,) = model.draw_documents([opened], [null], [image_seed], sampling)
        yield image
        document.append(Draw(image))


def _null_prompt(model: DocumentModel, document: Document) -> Document:
    """The unconditional prompt of guidance: an edit's where an image was shown, else a drawing's."""
    seen = [part for part in document if isinstance(part, See)]
    if seen:
        return edit_document(seen[-1], None, prompts=model.prompts)
    return draw_document(None, prompts=model.prompts)


def _write(model: DocumentModel, prompt: Segment, limit: int, written: list[int]) -> Iterator[str]:
    """Text, a piece at a time; its ids are appended to `written`."""
    length = 0
    for ids in generate_tokens(model.language, [prompt], limit):
        written += ids.tolist()
        text = model.decode_text(written)
        if len(text) > length and not text.endswith(INCOMPLETE):
            yield text[length:]
            length = len(text)
    if len(text := model.decode_text(written)) > length:
        yield text[length:]
