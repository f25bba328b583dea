"""The decoder of the pixel tokenizer."""

import torch


def test_a_pixel_model_draws_and_decodes(pixel_illume, images):
    assert pixel_illume.draw_batch(["a red circle"], [3]).shape == (1, 3, 48, 48)
    rebuilt = pixel_illume.decode(pixel_illume.encode(images), [1, 2, 3, 4, 5])
    assert rebuilt.shape == images.shape and rebuilt.dtype == torch.uint8
    vectors = pixel_illume.tokenizer.decode(pixel_illume.encode(images))
    assert vectors.shape == (5, pixel_illume.tokenizer.tokens, 32)
