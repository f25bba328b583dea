"""Documents that are longer than a row are truncated to it, where that costs text alone.

- Plain text gives a piece as long as a row, which begins somewhere else in each epoch of its source.
- A dialogue loses whole turns from its end, and of branches the last ones; at least one answer stays.
- Where the first answer alone is too long, it ends in the middle, and the model does not learn to stop there.
- What would lose an image, or all that there is to learn, is refused.
"""

from collections.abc import Sequence
from random import Random

from datamodules.source_stream import Truncated
from models.document import Branches, Document, Draw, Part, See, Text
from models.sequence import Segment, Sequencer

MAX_LETTERS_PER_TOKEN = 32  # of a plain text: more are not encoded for a row


def fit_document(sequencer: Sequencer, document: Document, length: int, rng: Random) -> Segment | Truncated:
    """The segment of a document, or `Truncated` where text was left out to make it fit.

    Args:
        sequencer: of the model.
        document: of any length.
        length: tokens in a row.
        rng: where a piece of a plain text begins.

    Raises:
        ValueError: it does not fit, or has nothing to learn.
    """
    plain = (
        document[0] if len(document) == 1 and isinstance(document[0], Text) and document[0].learn else None
    )
    letters = length * MAX_LETTERS_PER_TOKEN
    left_out = 0
    if plain is not None and len(plain.text) > 2 * letters:  # a book takes longer to encode than to read
        start = rng.randrange(len(plain.text) - letters)
        left_out = (len(plain.text) - letters) // 4  # about as many tokens
        document = [Text(plain.text[start : start + letters], learn=True)]
    whole = sequencer.segment(document)
    if not any(whole.learn):
        raise ValueError("the document has nothing to learn")
    if len(whole) > length:
        short = _piece(whole, length, rng) if plain else _shortened(sequencer, document, whole, length)
        return Truncated(short, len(whole) - len(short) + left_out)
    return Truncated(whole, left_out) if left_out else whole


def _piece(whole: Segment, length: int, rng: Random) -> Segment:
    """A row's worth of a plain text: its opening tokens, and a piece from somewhere in it."""
    head = whole.learn.index(True)
    room = length - head
    if room < 1:
        raise ValueError(_too_long(whole, length))
    start = rng.randrange(head, len(whole) - room + 1)
    piece = Segment()
    piece.add(whole.ids[:head])
    piece.add(whole.ids[start : start + room], learn=True)
    return piece


def _shortened(sequencer: Sequencer, document: Document, whole: Segment, length: int) -> Segment:
    """The document without its last turns, or with its first answer cut."""
    shorter, images = _shorter(document), _images(document)
    fits = None
    low, high = 0, len(shorter)  # the longest that fits: the more turns, the longer
    while low < high:
        middle = (low + high) // 2
        segment = sequencer.segment(shorter[middle])
        if len(segment) <= length:
            fits, low = segment, middle + 1
        else:
            high = middle
    if fits is not None:
        if _images(shorter[low - 1]) < images:
            raise ValueError(f"an image would be cut: {_too_long(whole, length)}")
        return fits
    least = shorter[0] if shorter else document
    segment = sequencer.segment(least)
    if _images(least) < images or any(segment.kinds[length:]) or isinstance(least[-1], Draw):
        raise ValueError(f"an image would be cut: {_too_long(whole, length)}")
    kept = segment[:length]
    if isinstance(least[-1], Branches) or not kept.learn[-1]:
        raise ValueError(_too_long(whole, length))
    return kept


def _too_long(whole: Segment, length: int) -> str:
    return f"the document is longer than sequence_length {length}: {len(whole)} tokens"


def _shorter(document: Document) -> list[Sequence[Part]]:
    """The beginnings of a document that end with an answer, the shortest first; without the document itself."""
    last = document[-1] if document else None
    if isinstance(last, Branches):
        return [[*document[:-1], Branches(last.branches[:n])] for n in range(1, len(last.branches))]
    answers = [
        n
        for n, part in enumerate(document, 1)
        if isinstance(part, Draw) or (isinstance(part, Text) and part.learn)
    ]
    ends = [n for n in answers if n + 1 not in answers]  # an answer may be of several parts
    return [document[:n] for n in ends if n < len(document)]


def learns(document: Document) -> bool:
    """Whether a model learns anything from a document."""
    return any(
        isinstance(part, Draw)
        or (isinstance(part, Text) and part.learn and bool(part.text.strip()))
        or (isinstance(part, Branches) and any(map(learns, part.branches)))
        for part in document
    )


def _images(document: Document) -> int:
    """How many images a document has, those of its branches too."""
    branches = [branch for part in document if isinstance(part, Branches) for branch in part.branches]
    return sum(map(_images, branches)) + sum(isinstance(part, (See, Draw)) for part in document)
