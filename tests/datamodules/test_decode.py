"""Images of every kind become (3, H, W) uint8, and what is no image is refused in one line."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import decode
from datamodules.decode import decode_image, sample_image


def encoded(image: Image.Image, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_modes(mode):
    image = Image.new("RGB", (64, 40), (255, 0, 0)).convert(mode)
    pixels = decode_image(encoded(image, "jpeg" if mode == "CMYK" else "png"), 16)
    assert pixels.shape == (3, 16, 16) and pixels.dtype == torch.uint8


def test_an_image_of_the_right_size_keeps_its_pixels():
    array = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert torch.equal(
        decode_image(encoded(Image.fromarray(array)), 16), torch.from_numpy(array).permute(2, 0, 1)
    )


def test_what_is_no_image_is_refused(monkeypatch):
    whole = encoded(Image.effect_noise((64, 64), 90))
    for data in (b"", b"hello", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match="not a readable image"):
            decode_image(data, 16)
    monkeypatch.setattr(decode, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="64 x 64 pixels are too many"):
        decode_image(whole, 16)


def test_a_sample_without_an_image_is_refused():
    with pytest.raises(KeyError, match="no image"):
        sample_image({"txt": b"hello"}, 16)
