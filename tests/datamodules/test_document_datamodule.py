"""Packed documents: batches are full, workers and cuts change nothing, skips are counted, any process can make them."""

import io
import itertools
import json
import math
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from datamodules.precomputed import to_npy
from models.slices import Slicing
from models.unified import Illume
from tests.datamodules.documents import data, module
from tests.datamodules.tars import png, write_samples
from tests.fixtures import FixedStage, tiny_illume

__all__ = ["data", "module", "tiny_illume"]


def same(a, b):
    return (
        torch.equal(a.ids, b.ids)
        and torch.equal(a.images, b.images)
        and torch.equal(a.documents, b.documents)
    )


def test_rows_are_full_and_of_one_length(module):
    loader = module().train_dataloader()
    batches = list(loader)
    assert {batch.ids.shape for batch in batches} == {(3, 600)}
    real = sum(int((batch.documents >= 0).sum()) for batch in batches)
    assert loader.capacity == 15 * 600 and loader.tokens.total() == real > 0.95 * loader.capacity
    assert set(loader.tokens) == {"draw", "questions", "edits"}


def test_a_document_too_long_is_counted_and_not_cut(module, data):
    sources = {"draw": {"shards": str(data / "pairs"), "template": "draw", "weight": 1.0}}
    loader = module(0, sources, sequence_length=80, max_skipped_fraction=1.0).train_dataloader()
    batches = list(loader)
    assert all(int(batch.draw_mask.sum()) % 36 == 0 for batch in batches)
    kinds = {reason for _, reason in loader.skipped.counts}
    assert kinds == {"an image would be cut"} and not loader.truncated()


@pytest.mark.parametrize("workers", [0, 2])
def test_long_texts_are_cut_and_counted_and_a_resume_cuts_them_alike(module, tmp_path, workers):
    """A tenth of the documents, each longer than a row: they are no reason to stop, and none of them is skipped."""
    rng = random.Random(0)
    lengths = [rng.randint(5, 60) if i % 10 else 900 for i in range(200)]
    samples = {f"{i:03d}": {"txt": ("a red circle " * n).strip().encode()} for i, n in enumerate(lengths)}
    write_samples(tmp_path / "text/0.tar", samples)
    sources = {"text": {"shards": str(tmp_path / "text"), "template": "text", "weight": 1.0}}
    whole = module(0, sources, sequence_length=200).train_dataloader()
    batches = [batch for _ in range(2) for batch in whole]
    (documents, tokens) = whole.truncated()["text"]
    assert documents > 10 and tokens > 500 * documents and not whole.skipped.total
    first, again = (module(workers, sources, sequence_length=200).train_dataloader() for _ in range(2))
    head = list(itertools.islice(first, 3))
    again.load_state_dict(json.loads(json.dumps(first.state_dict()), object_hook=_numbers))
    rest = [batch for _ in range(2) for batch in again][:7]
    assert all(same(a, b) for a, b in zip(head + rest, batches, strict=True))
    assert again.truncated() == whole.truncated()


def _numbers(found):
    return {int(key) if key.isdigit() else key: value for key, value in found.items()}


def test_broken_samples_are_counted_once_and_the_good_ones_arrive(module, tmp_path):
    good = {f"good{i}": {"png": png(i), "txt": f"number {i}".encode()} for i in range(40)}
    whole = png(1)
    broken = {
        "a": {"png": whole},
        "b": {"txt": b"no image"},
        "c": {"png": whole[:60], "txt": b"cut"},
        "d": {"png": whole, "txt": b""},
        "e": {"png": whole, "txt": "caf\xe9".encode("latin-1")},
        "f": {"png": whole, "txt": b"long " * 20_000},
        "g": {"png": b"hello", "txt": b"no image at all"},
    }
    write_samples(tmp_path / "0.tar", good | broken)
    sources = {"pairs": {"shards": str(tmp_path), "template": "draw", "weight": 1.0}}
    loader = module(2, sources, max_skipped_fraction=0.5, drop=0.0).train_dataloader()
    seen = set()
    for _ in range(8):
        for batch in loader:
            seen |= {int(image.max()) for image in batch.images}
    assert seen == set(range(40))
    assert sum(loader.skipped.counts.values()) == len(broken)
    assert {reason for _, reason in loader.skipped.counts} == {
        "a sample has no txt",
        "a sample has no image",
        "not a readable image, no image",
        "not a readable image, cut short",
        "a text is empty",
        "a text is not UTF-8",
        "a text is longer than 64 KiB",
    }
    json.dumps(loader.skipped.rows())


def test_special_words_in_a_caption_stay_text(module, tmp_path, tiny_illume):
    words = "<image> {caption} <|begin_image|> </s> [PAD] begin_image"
    write_samples(tmp_path / "0.tar", {str(i): {"png": png(i), "txt": words.encode()} for i in range(8)})
    sources = {"pairs": {"shards": str(tmp_path), "template": "draw", "weight": 1.0}}
    batch = next(iter(module(0, sources, drop=0.0).train_dataloader()))
    vocabulary = tiny_illume.language.vocabulary
    text = batch.ids[(batch.ids < vocabulary.text_size) & (batch.documents >= 0)]
    first = text[: len(tiny_illume.sequencer.encode_text(f"draw : {words}"))].tolist()
    assert (
        tiny_illume.text_tokenizer.decode(first).replace(" ", "") == f"draw:{words}".replace(" ", "").lower()
    )


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(ValueError, match="data: .* weight"):
        DocumentDataModule({str(i): SourceConfig("x", "draw", w) for i, w in enumerate(weights)})


def picture(width, height):
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 90).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def slicing(module, tiny_illume):
    """Makes a datamodule whose model slices; its words spell a line break as anything else."""

    def make(sources, size=48, **options):
        made = module(0, sources, drop=0.0, **options)
        words = tiny_illume.sequencer.encode_text
        sliced = replace(
            tiny_illume.sequencer, encode_text=lambda text: words(text) or [0], slicing=Slicing(4, size)
        )
        stamps = {"features": "0" * 12}
        made.trainer.lightning_module = SimpleNamespace(
            sequencer=sliced, fingerprints=stamps, model=Illume(), models=[]
        )
        return made

    return make


def test_images_of_mixed_sizes_are_sliced_where_nothing_is_drawn(slicing, tmp_path, tiny_illume):
    sizes = [(48, 48), (100, 50), (20, 20), (90, 190), (400, 30)]  # 1, 2, 1, 2 and 4 slices
    ahead = {f"features.{'0' * 12}.npy": to_npy(np.zeros((36, 32), np.float32))}
    pairs = {str(i): {"png": picture(*size), "txt": b"noise"} | ahead for i, size in enumerate(sizes)}
    write_samples(tmp_path / "pairs/0.tar", pairs)
    edit = json.dumps({"parts": [{"see": "0.png"}, {"text": "blue"}, {"draw": "1.png"}]}).encode()
    asked = json.dumps({"parts": [{"see": "0.png"}, {"text": "red", "learn": True}]}).encode()
    images = {"0.png": picture(150, 50), "1.png": picture(150, 50)}
    write_samples(tmp_path / "edits/0.tar", {"a": {"json": edit} | images})
    write_samples(tmp_path / "asked/0.tar", {"a": {"json": asked} | images})

    def blocks(folder, template, known=False):
        sources = {"s": {"shards": str(tmp_path / folder), "template": template, "weight": 1.0}}
        loader = slicing(sources, max_skipped_fraction=1.0).train_dataloader()
        batch = next(iter(loader))
        assert not loader.skipped.counts and batch.images.shape[1:] == (3, 48, 48)
        loss = tiny_illume.language.loss(batch, *tiny_illume.encode_images(batch))
        assert loss.mean.isfinite() and ((batch.see_images < 0) == known).all()
        rows = zip(batch.documents, batch.see_blocks, strict=True)
        return {
            len(own[(ids == d) & (own >= 0)].unique()) for ids, own in rows for d in ids.unique() if d >= 0
        }

    assert blocks("pairs", "describe") == {1, 3, 5}  # with a thumbnail each, but for what is one slice
    assert blocks("asked", "document") == {4}
    assert blocks("edits", "edit") == blocks("edits", "document") == {1}
    assert blocks("pairs", "reconstruct", known=True) == {1}  # features made ahead are those of squares


def test_squares_of_another_size_than_the_slices_are_refused(slicing, data):
    sources = {"draw": {"shards": str(data / "pairs"), "template": "draw", "weight": 1.0}}
    with pytest.raises(ValueError, match="slices of 56 x 56 pixels, and data.init_args.image_size is 48"):
        slicing(sources, size=56).train_dataloader()


def test_images_of_another_size_than_the_model_sees_are_refused(module, data, tiny_illume):
    """It would learn from enlarged pictures, and be shown sharp ones afterwards."""
    sources = {"draw": {"shards": str(data / "pairs"), "template": "draw", "weight": 1.0}}
    made = module(0, sources, image_size=24)
    made.trainer.lightning_module = FixedStage(tiny_illume)
    with pytest.raises(
        ValueError, match="images of 48 x 48 pixels, and data.init_args.image_size is 24: make the"
    ):
        made.train_dataloader()
