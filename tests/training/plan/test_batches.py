"""A planned batch holds what its workload counts, and the stage's own loss takes it."""

import torch

from lightning_modules.detokenizer import DetokenizerModule
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.training.plan.planned import LOAD, language_stage, loss
from training.plan.batches import CAPTION, planned_batch
from training.plan.workload import Workload


def test_a_packed_batch_has_the_targets_and_images_of_its_workload():
    stage = language_stage()
    batch = planned_batch(stage, LOAD, 48)
    assert batch.ids.shape == (LOAD.rows, LOAD.length)
    assert int(batch.learn.sum()) == LOAD.texts + LOAD.codes
    assert int((batch.learn & batch.draw_mask).sum()) == LOAD.codes and not batch.learn[:, 0].any()
    assert int(batch.see_mask.sum()) == LOAD.seen * 36 and len(batch.see_images) == LOAD.seen
    assert (
        len(batch.images) == LOAD.encoded == len(set(batch.see_images.tolist() + batch.draw_images.tolist()))
    )
    _, logged = stage.loss(batch)
    assert logged["sums"][1, :2].tolist() == [LOAD.texts, LOAD.codes]


def test_codes_beyond_the_drawn_images_are_there_already():
    stage, load = language_stage(), LOAD._replace(texts=0, codes=LOAD.rows * LOAD.length)
    batch = planned_batch(stage, load, 48)
    assert batch.learn.all() and (batch.draw_images >= 0).sum() == LOAD.drawn
    assert int(batch.draw_mask.sum()) == len(batch.draw_images) * 36 == 360
    assert torch.isfinite(loss(stage, load))


def test_images_come_to_the_encoder_at_its_own_size():
    tiny, stage = make_tiny_illume(), DetokenizerModule("nowhere")
    stage.model = Illume(tiny.encoder, tiny.tokenizer, tiny.detokenizer)
    images = Workload(2, 0, 0, 0, 2, 0, 0, 2)
    assert planned_batch(stage, images, 48).code_images is None
    batch = planned_batch(stage, images, 96)
    assert batch.images.shape == (2, 3, 96, 96) and batch.code_images.shape == (2, 3, 48, 48)
    assert batch.captions.shape == (2, CAPTION)
