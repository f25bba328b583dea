"""Pixels of every mode become eight bits of red, green and blue on white."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from benchmarks.image_seeds import encode
from common import image_modes
from common.images import UnreadableImage, open_image

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8))


def test_sixteen_bits_are_divided_by_257():
    ramp = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    wanted = np.repeat(np.floor(ramp / 257 + 0.5).astype(np.uint8)[..., None], 3, 2)
    for kind in ("PNG", "TIFF", "PPM", "JPEG2000"):
        assert np.array_equal(np.asarray(open_image(encode(Image.fromarray(ramp), kind))), wanted), kind
    assert np.array_equal(
        np.asarray(open_image(encode(Image.fromarray(ramp.astype(np.int32)), "TIFF"))), wanted
    )


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [(0, 1, 0, 255), (-0.05, 1.05, 0, 255), (0.25, 0.5, 64, 128), (0, 255, 0, 255), (0, 65535, 0, 255)],
)
def test_floating_point_is_scaled_by_its_range(low: float, high: float, first: int, last: int):
    ramp = np.linspace(low, high, 64, dtype=np.float32).reshape(8, 8)
    made = np.asarray(open_image(encode(Image.fromarray(ramp), "TIFF")))[..., 0]
    assert (made[0, 0], made[-1, -1]) == (first, last)


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 1e30])
def test_values_of_no_known_range_are_refused_by_name(value: float):
    values = np.full((8, 8), 0.5, np.float32)
    values[3, 3] = value
    with pytest.raises(UnreadableImage, match="values of no known range") as caught:
        open_image(encode(Image.fromarray(values), "TIFF"))
    assert caught.value.reason == "values of no known range"


def test_negative_integers_are_refused():
    with pytest.raises(UnreadableImage, match="values of no known range: from -7 to 0"):
        open_image(encode(Image.fromarray(np.full((4, 4), -7, np.int32) * np.eye(4, dtype=np.int32)), "TIFF"))


def test_lab_and_cmyk_have_their_colours():
    lab = ImageCms.applyTransform(
        PHOTO,
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    made = np.asarray(open_image(encode(lab, "TIFF"))).astype(int)
    assert np.abs(made - np.asarray(PHOTO)).mean() < 3
    red = Image.new("RGB", (16, 16), (250, 0, 0)).convert("CMYK")
    for kind in ("JPEG", "TIFF"):  # the JPEG inverts its inks, as Adobe's do
        assert np.allclose(np.asarray(open_image(encode(red, kind))).mean((0, 1)), (250, 0, 0), atol=6), kind


def test_transparency_of_every_kind_shows_white():
    grey16 = encode(Image.fromarray(np.full((8, 8), 300, np.uint16)), "PNG", transparency=300)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([10, 20, 30] * 256)
    kinds = {
        "RGBA": encode(Image.new("RGBA", (8, 8), (9, 9, 9, 0)), "PNG"),
        "LA": encode(Image.new("LA", (8, 8), (9, 0)), "PNG"),
        "P": encode(palette, "PNG", transparency=1),
        "P, bytes": encode(palette, "PNG", transparency=b"\x80\x00"),
        "GIF": encode(palette, "GIF", transparency=1),
        "RGB": encode(Image.new("RGB", (8, 8), (9, 9, 9)), "PNG", transparency=(9, 9, 9)),
        "L": encode(Image.new("L", (8, 8), 9), "PNG", transparency=9),
        "I;16": grey16,
    }
    for kind, data in kinds.items():
        assert np.asarray(open_image(data)).min() == 255, kind


def test_tiles_equal_the_whole(monkeypatch: pytest.MonkeyPatch):
    kinds = {
        "RGBA": PHOTO.convert("RGBA"),
        "P": PHOTO.quantize(16),
        "CMYK": PHOTO.convert("CMYK"),
        "I;16": Image.fromarray(RNG.integers(0, 65536, (24, 32)).astype(np.uint16)),
        "F": Image.fromarray(RNG.random((24, 32), np.float32)),
    }
    whole = {name: open_image(image) for name, image in kinds.items()}
    for tile in (7, 100):
        monkeypatch.setattr(image_modes, "TILE", tile)
        for name, image in kinds.items():
            assert np.array_equal(np.asarray(open_image(image)), np.asarray(whole[name])), name
