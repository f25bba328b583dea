"""Batches of images: at both sizes where codes are made at another, captions padded, the same in any process."""

import pickle
from types import SimpleNamespace

import pytest
import torch

from datamodules.image_datamodule import ImageDataModule
from datamodules.loader import RankLoader
from models.image_input import ImageInput
from tests.datamodules.documents import data
from tests.fixtures import FixedStage, tiny_illume

__all__ = ["data", "tiny_illume"]


@pytest.fixture
def images(data, tiny_illume):
    made = ImageDataModule(
        str(data / "pairs"), str(data / "pairs/val"), batch_size=8, batches_per_epoch=2, workers=0
    )
    made.trainer = SimpleNamespace(lightning_module=FixedStage(tiny_illume))
    made.setup()
    return made


def test_readers_can_be_sent_to_a_process_that_shares_no_memory(images):
    loader = images.train_dataloader()
    first = next(iter(loader))
    copied = RankLoader(pickle.loads(pickle.dumps(loader.dataset.open_reader)), 2)
    assert torch.equal(first.images, next(iter(copied)).images)


def test_images_come_at_the_size_of_codes_too(images, tiny_illume):
    batch = next(iter(images.train_dataloader()))
    assert batch.images.shape == (8, 3, 48, 48) and batch.code_images is None
    assert (batch.captions >= 0).any(1).all() and (batch.captions < len(tiny_illume.text_tokenizer)).all()
    stage = images.trainer.lightning_module
    images.trainer.lightning_module = SimpleNamespace(text_tokenizer=None, code_input=ImageInput(32))
    both = next(iter(images.train_dataloader()))
    assert torch.equal(both.images, batch.images) and both.code_images.shape == (8, 3, 32, 32)
    assert both.captions.shape == (8, 0) and stage.code_input is None


def test_the_validation_set_is_fixed(images):
    first, again = ([batch.images for batch in images.val_dataloader()] for _ in range(2))
    assert len(first) == 8 and all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
