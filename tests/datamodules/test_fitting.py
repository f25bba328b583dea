"""Documents longer than a row: texts and dialogues are cut at a token or a turn, images never."""

import random

import pytest
import torch

from datamodules.fitting import fit_document
from datamodules.source_stream import Truncated
from models.document import Branches, Draw, See, Text
from models.sequence import Sequencer
from models.vocabulary import Vocabulary

IMAGE = torch.zeros(3, 4, 4, dtype=torch.uint8)
SEQUENCER = Sequencer(Vocabulary(1000, 10), lambda text: [int(word) for word in text.split()], 4, 4)


def words(first, count):
    return " ".join(map(str, range(first, first + count)))


def asked(first, count=5):
    return [Text(words(first, count)), Text(words(first + 100, count), learn=True)]


def fit(document, length, seed=0):
    fitted = fit_document(SEQUENCER, document, length, random.Random(seed))
    return fitted if isinstance(fitted, Truncated) else Truncated(fitted, 0)


def test_documents_that_fit_are_unchanged():
    document = [See(IMAGE), *asked(0), *asked(200)]
    whole = SEQUENCER.segment(document)
    assert fit(document, len(whole)) == Truncated(whole, 0)


def test_a_long_text_gives_a_piece_as_long_as_a_row():
    document = [Text(words(0, 500), learn=True)]
    whole = SEQUENCER.segment(document)
    head = whole.learn.index(True)
    starts = set()
    for seed in range(40):
        piece, lost = fit(document, 64, seed)
        assert len(piece) == 64 and lost == len(whole) - 64
        assert (
            piece.ids[:head] == whole.ids[:head] and not any(piece.learn[:head]) and all(piece.learn[head:])
        )
        start = piece.ids[head]
        assert piece.ids[head:] == whole.ids[head + start : head + start + 64 - head]
        assert piece.positions == list(range(64)) and not any(piece.kinds)
        starts.add(start)
        assert (piece, lost) == fit(document, 64, seed)
    assert len(starts) > 30 and min(starts) < 50 and max(starts) > 380


def test_a_book_is_not_encoded_whole():
    encoded = []

    def encode(text):
        encoded.append(len(text))
        return [1] * len(text.split())

    sequencer = Sequencer(Vocabulary(1000, 10), encode, 4, 4)
    document = [Text("word " * 500_000, learn=True)]
    segment, lost = fit_document(sequencer, document, 64, random.Random(0))
    assert len(segment) == 64 and lost > 500_000 and max(encoded) < 10_000


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_dialogue_loses_whole_turns_from_its_end(kept):
    document = [See(IMAGE), *asked(0), *asked(200), *asked(400), *asked(600)]
    shorter = SEQUENCER.segment(document[: 1 + 2 * kept])
    for room in (0, 1, 7):
        segment, lost = fit(document, len(shorter) + room)
        assert segment.ids == shorter.ids and segment.learn == shorter.learn and len(segment.see_images) == 1
        assert lost == len(SEQUENCER.segment(document)) - len(shorter)


def test_the_first_answer_is_cut_where_it_alone_is_too_long():
    document = [See(IMAGE), Text(words(0, 5)), Text(words(100, 200), learn=True), *asked(400)]
    segment, _ = fit(document, 64)
    assert (
        segment.ids == SEQUENCER.segment(document).ids[:64]
        and segment.learn[-1]
        and len(segment.see_images) == 1
    )


def test_branches_lose_the_last_of_them():
    ways = [tuple(asked(n)) for n in range(0, 500, 50)]
    document = [See(IMAGE), Branches(tuple(ways))]
    shorter = SEQUENCER.segment([See(IMAGE), Branches(tuple(ways[:3]))])
    segment, _ = fit(document, len(shorter) + 2)
    assert segment.ids == shorter.ids and segment.branches == shorter.branches
    with pytest.raises(ValueError, match="longer than sequence_length 12"):
        fit(document, 12)


@pytest.mark.parametrize(
    ("length", "document"),
    [
        (40, [Text(words(0, 80)), Draw(IMAGE)]),
        (40, [See(IMAGE), Text(words(0, 80)), Draw(IMAGE)]),
        (60, [*asked(0), *asked(200), See(IMAGE), *asked(400, 40)]),
        (60, [*asked(0, 40), Draw(IMAGE), *asked(200)]),
        (60, [Text(words(0, 5)), Text(words(0, 80), learn=True), See(IMAGE), *asked(200)]),
        (60, [*[See(IMAGE)] * 20, *asked(0)]),
        (30, [Text("1"), Draw(IMAGE), *asked(0), Text("1"), Draw(IMAGE), *asked(0, 40)]),
        (60, [See(IMAGE), Branches((tuple(asked(0)), (Text(words(0, 80)), Draw(IMAGE))))]),
    ],
)
def test_a_document_whose_image_would_be_cut_is_refused_by_name(length, document):
    with pytest.raises(
        ValueError, match=f"^an image would be cut: .* longer than sequence_length {length}: "
    ):
        fit(document, length)
    end = len(SEQUENCER.segment(document))
    if isinstance(document[-1], Draw):  # nor is one cut by its last token
        for less in (1, 2):
            with pytest.raises(ValueError, match="^an image would be cut"):
                fit(document, end - less)


def test_a_question_that_is_longer_than_a_row_is_refused_by_name():
    with pytest.raises(ValueError, match="^the document is longer than sequence_length 64: "):
        fit([Text(words(0, 80)), Text(words(0, 5), learn=True), *asked(0)], 64)
    with pytest.raises(ValueError, match="^the document has nothing to learn"):
        fit([See(IMAGE), Text("1")], 64)
