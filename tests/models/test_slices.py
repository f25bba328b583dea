"""Slices: the grid fits the image, no pixel is lost or shown twice, and slice counts may differ within a batch."""

import json

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lightning_modules.language import LanguageModule
from models.document import Branches, Draw, See, Text, describe_document, edit_document, reconstruct_document
from models.image_input import ImageInput
from models.language.unified_lm import UnifiedLM
from models.sequence import Segment, collate
from models.slices import Slicing, best_grid, cut_slices, resize
from models.unified import Illume
from tests.models.conftest import TRUNK

WIDE, TALL, SMALL = (
    (100, 150),
    (300, 40),
    (30, 48),
)  # heights and widths: with 48 pixels a slice 2 x 3, 7 x 1 and 1 x 1


def image(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def same(some, others):
    return len(some) == len(others) and all(map(torch.equal, some, others))


@pytest.fixture
def seer(illume):
    """A model that slices, whose text tokenizer keeps line breaks."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        ["describe the image"], trainers.BpeTrainer(vocab_size=270, initial_alphabet=alphabet)
    )
    text_tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces)
    torch.manual_seed(0)
    trunk = TRUNK | {"max_position_embeddings": 1024}
    language = UnifiedLM(trunk, len(text_tokenizer), 64, 32, 36, 36, slicing={"max_slices": 9, "size": 48})
    with torch.no_grad():
        language.text_head.mul_(20)
    return Illume(illume.encoder, illume.tokenizer, illume.detokenizer, language, text_tokenizer).eval()


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (448, 448, (1, 1)),
        (600, 600, (1, 1)),
        (900, 900, (2, 2)),
        (4000, 4000, (3, 3)),
        (1080, 1920, (2, 4)),
        (1920, 1080, (4, 2)),
        (500, 2000, (1, 4)),
        (3000, 4000, (2, 3)),
        (449, 60_000, (1, 9)),
        (300, 460, (1, 2)),
        (5, 448, (1, 1)),
        (1, 1, (1, 1)),
    ],
)
def test_the_grid_follows_the_aspect_ratio_and_asks_for_no_more_than_there_is(height, width, grid):
    assert best_grid(height, width, Slicing()) == grid
    assert best_grid(height, width, Slicing(max_slices=1)) == (1, 1)


def test_every_pixel_of_the_resized_image_is_in_one_slice():
    photo = image(*WIDE)
    rows = cut_slices(photo, 48, (2, 3))
    assert [cut.shape for row in rows for cut in row] == [(3, 48, 48)] * 6
    assert torch.equal(torch.cat([torch.cat(row, 2) for row in rows], 1), resize(photo, 96, 144))


@pytest.mark.parametrize("thumbnail", [True, False])
def test_rows_end_with_a_line_break_and_the_thumbnail_comes_first(seer, thumbnail):
    seer.language.set_slicing({"size": 48, "thumbnail": thumbnail})
    photo, special = image(*WIDE), seer.language.vocabulary.special
    segment = seer.sequencer.segment([See(photo), Text("what")])
    (line,) = seer.sequencer.encode_text("\n")
    see = [special("begin_image"), *[special("pad")] * 36, special("end_image")]
    rows = ([*see, line] if thumbnail else []) + ([*see * 3, line] * 2)
    start = segment.ids.index(special("begin_image"))
    assert segment.ids[start : start + len(rows)] == rows
    assert segment.ids[start + len(rows) :] == seer.sequencer.encode_text("what")
    whole = [resize(photo, 48, 48)] if thumbnail else []
    assert same(segment.see_images, whole + sum(cut_slices(photo, 48, (2, 3)), []))


def test_a_document_that_draws_sees_one_square(seer):
    photo = image(*WIDE)
    for document in (edit_document(photo, "blue"), [See(photo), Branches(((Text("blue"), Draw()),))]):
        segment = seer.sequencer.segment(document)
        assert len(segment.see_images) == 1
        assert torch.equal(segment.see_images[0], ImageInput(48).resize(photo))  # as training decodes a file
    square = image(48, 48)
    batch = packed([seer.sequencer.segment(reconstruct_document(square))])
    assert len(batch.images) == 1 and torch.equal(batch.images[0], square)


def packed(segments: list[Segment]):
    return collate(segments, [[i] for i in range(len(segments))], max(map(len, segments)), 0)


def test_slice_counts_mix_in_one_packed_batch(seer):
    about = [
        describe_document(image(*size, seed), "the image") for seed, size in enumerate((WIDE, TALL, SMALL))
    ]
    segments = [seer.sequencer.segment(document) for document in about]
    assert [len(s.see_images) for s in segments] == [7, 8, 1]
    length = len(segments[0]) + len(segments[2])
    batch = collate(segments, [[0, 2], [1]], length, seer.language.vocabulary.special("pad"))
    features, codes = seer.encode_images(batch)
    together = seer.language.hidden(batch, batch.ids, features)
    assert len(features) == 16
    for (row, start), segment in zip(((0, 0), (1, 0), (0, len(segments[0]))), segments, strict=True):
        alone = packed([segment])
        seen, _ = seer.encode_images(alone)
        hidden = seer.language.hidden(alone, alone.ids, seen)[0]
        assert torch.allclose(together[row, start : start + len(segment)], hidden, atol=1e-4)
    seer.language.loss(batch, features, codes).mean.backward()
    assert seer.language.adapter[0].weight.grad.abs().sum() > 0


def test_sliced_prompts_are_prefixes_of_training_and_answers_do_not_depend_on_the_batch(seer):
    photos = [image(*size, seed) for seed, size in enumerate((WIDE, TALL, SMALL))]
    for photo in photos:
        learned = seer.sequencer.segment(describe_document(photo, "red"))
        asked = seer.segment(describe_document(photo), ask=True)
        assert learned.ids[: len(asked)] == asked.ids
        assert same(learned.see_images, asked.see_images)
    answers = seer.ask_batch(photos, ["what"] * 3)
    assert answers == [seer.ask_batch([photo], ["what"])[0] for photo in photos]
    assert len(set(answers)) > 1


def test_a_model_folder_keeps_the_setting(seer, tmp_path):
    seer.save_pretrained(str(tmp_path))
    kept = json.loads((tmp_path / "language/config.json").read_text())["slicing"]
    assert kept == {"max_slices": 9, "size": 48, "thumbnail": True}
    again = Illume.from_pretrained(str(tmp_path))
    assert again.sequencer.slicing == seer.sequencer.slicing == Slicing(9, 48)
    assert again.ask_batch([image(*WIDE)], ["what"]) == seer.ask_batch([image(*WIDE)], ["what"])


def test_settings_that_do_not_fit_are_refused(seer, illume):
    for wrong, message in (
        ({"max_slices": 0}, "max_slices 0"),
        ({"max_slice": 3}, "did you mean max_slices"),
        ({"size": "48"}, "type int"),
    ):
        with pytest.raises(ValueError, match=f"slicing.*{message}"):
            seer.language.set_slicing(wrong)
    seer.language.set_slicing({"size": 56})
    with pytest.raises(ValueError, match="56 x 56, the encoder of seen images takes 48 x 48"):
        Illume(seer.encoder, language=seer.language)
    illume.language.set_slicing({"size": 48})
    with pytest.raises(ValueError, match="text tokenizer drops it"):
        _ = illume.sequencer


def test_a_stage_can_turn_slicing_on(seer, tmp_path):
    seer.language.slicing = seer.language.config["slicing"] = None
    seer.save_pretrained(str(tmp_path / "before"))
    module = LanguageModule({"adapter": 1e-3}, {"all": str(tmp_path / "before")}, slicing=Slicing(size=48))
    module.configure_model()
    module.export(str(tmp_path / "after"))
    Image.effect_noise((150, 100), 90).save(tmp_path / "wide.png")
    for name, shape in (("before", (3, 48, 48)), ("after", (3, 100, 150))):
        model = Illume.from_pretrained(str(tmp_path / name))
        assert model.prepare_images([tmp_path / "wide.png"])[0].shape == shape
