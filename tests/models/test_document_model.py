"""Documents to features, codes and back, by one encoder or two."""

import copy

import pytest
import torch

from models.document import Draw, Text
from models.image_input import ImageInput
from tests.models.test_slices import packed


def test_images_of_another_size_are_refused(illume):
    """By the encoder, and in a batch; `encode` crops them as training crops a file."""
    large = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    with pytest.raises(ValueError, match="the encoder takes 48 x 48"):
        illume.encoder(large[None])
    batch = packed([illume.sequencer.segment([Text("draw"), Draw(large)])])
    with pytest.raises(ValueError, match="the encoder takes 48 x 48"):
        illume.encode_images(batch)
    assert torch.equal(illume.encode(large[None]), illume.encode(ImageInput(48).resize(large)[None]))


def test_a_tuned_encoder_sees_and_the_frozen_one_draws(illume, images):
    from models.document import reconstruct_document
    from models.sequence import collate

    segment = illume.sequencer.segment(reconstruct_document(images[0]))
    batch = collate([segment], [[0]], len(segment), 0)
    features, codes = illume.encode_images(batch)
    illume.understanding_encoder = copy.deepcopy(illume.encoder)
    with torch.no_grad():
        illume.understanding_encoder.positions.add_(torch.randn_like(illume.encoder.positions))
    tuned, same_codes = illume.encode_images(batch)
    assert torch.equal(codes, same_codes) and not torch.allclose(features, tuned)
    assert tuned.requires_grad and torch.equal(illume.encode(images[:1]), codes)
