"""Images of every kind become (3, H, W) uint8, and what is no image is refused in one line."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from common import images
from datamodules.decode import (
    decode_image,
    image_ending,
    image_endings,
    sample_image,
    sample_json,
    sample_text,
)


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


def test_non_images_are_refused(monkeypatch):
    whole = encoded(Image.effect_noise((64, 64), 90))
    for data in (b"", b"hello", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match="not a readable image"):
            decode_image(data, 16)
    monkeypatch.setattr(images, "MAX_MEMORY", 10_000)
    with pytest.raises(ValueError, match="too many pixels: 64 x 64"):
        decode_image(whole, 16)


def test_a_bomb_is_refused_before_it_is_unpacked():
    small = encoded(Image.new("RGB", (8, 8)))
    header = b"IHDR" + struct.pack(">II", 50_000, 50_000) + small[24:29]  # the name, the sides, the rest
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(ValueError, match="too many pixels"):
        decode_image(bomb, 16)


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(np.uint16)
    pixels = decode_image(encoded(Image.fromarray(ramp)), 16)[0].float()
    assert torch.allclose(pixels, torch.from_numpy(ramp / 257.0).float(), atol=1.0)


def test_transparency_shows_white():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert decode_image(encoded(image), 16).float().mean() == 255
    palette = Image.new("P", (16, 16), 0)
    palette.info["transparency"] = 0
    buffer = io.BytesIO()
    palette.save(buffer, "png", transparency=0)
    assert decode_image(buffer.getvalue(), 16).float().mean() == 255


def test_a_rotated_photo_is_set_upright():
    array = np.zeros((16, 16, 3), np.uint8)
    array[:8] = 255  # white above
    image = Image.fromarray(array)
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", exif=exif, quality=95)
    pixels = decode_image(buffer.getvalue(), 16).float()
    assert pixels[:, :7].mean() < 20 and pixels[:, 9:].mean() > 235


def test_an_animation_is_its_first_frame_and_one_pixel_is_an_image():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "webp", save_all=True, append_images=frames[1:], lossless=True)
    assert decode_image(buffer.getvalue(), 16)[0].float().mean() > 250
    assert decode_image(encoded(Image.new("RGB", (1, 1), "red")), 16)[0].float().mean() == 255


def test_text_members():
    sample = {
        "txt": b" a {caption} <|end|> \n",
        "latin.txt": "caf\xe9".encode("latin-1"),
        "empty.txt": b" \n",
    }
    assert sample_text(sample, "txt") == "a {caption} <|end|>"
    for ending, reason in {
        "latin.txt": "a text is not UTF-8",
        "empty.txt": "a text is empty",
        "other.txt": "a sample has no other.txt",
    }.items():
        with pytest.raises(ValueError, match=reason):
            sample_text(sample, ending)
    with pytest.raises(ValueError, match="a text is longer than 64 KiB"):
        sample_text({"txt": b"x" * 100_000}, "txt")


def test_json():
    assert sample_json({"json": b'{"a": 1}'}) == {"a": 1}
    for content, reason in (
        (b"{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"\xff", "cannot be read"),
    ):
        with pytest.raises(ValueError, match=reason):
            sample_json({"json": content})
    with pytest.raises(ValueError, match="a sample has no json"):
        sample_json({})


def test_a_sample_without_an_image_is_refused():
    with pytest.raises(ValueError, match="a sample has no image"):
        sample_image({"txt": b"hello"})


def test_a_whole_image_keeps_its_shape_and_a_strip_makes_no_filter_of_gigabytes():
    assert decode_image(encoded(Image.new("RGB", (64, 40))), 16, longest=100).shape == (3, 40, 64)
    assert decode_image(encoded(Image.new("RGB", (640, 400))), 16, longest=64).shape == (3, 40, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    assert decode_image(encoded(Image.new("RGB", (20_000_000, 1))), 16, longest=4032).shape == (3, 1, 4032)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    with pytest.raises(ValueError, match="not a readable image"):
        decode_image(b"hello", 16, longest=64)


KINDS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "jfif": "JPEG",
    "gif": "GIF",
    "bmp": "BMP",
    "tif": "TIFF",
}
KINDS |= {
    "avif": "AVIF",
    "webp": "WEBP",
    "jp2": "JPEG2000",
    "ppm": "PPM",
    "tga": "TGA",
    "JPG": "JPEG",
    "Tiff": "TIFF",
}


@pytest.mark.parametrize(("ending", "kind"), KINDS.items())
def test_an_image_in_a_shard_may_end_in_all_that_pil_reads(ending, kind):
    data = encoded(Image.new("RGB", (16, 16), (200, 10, 10)), kind)
    sample = {"__key__": "a", ending: data, "txt": b"red", f"0.{ending}": data, "codes.0123456789ab.npy": b""}
    assert image_ending(sample) == ending and image_endings(sample) == [ending, f"0.{ending}"]
    assert abs(np.asarray(sample_image(sample))[..., 0].mean() - 200) < 8


def test_of_two_images_in_a_raw_pair_the_usual_one_is_taken():
    sample = {"gif": b"", "png": b"", "webp": b"", "JPG": b"", "txt": b""}
    assert image_ending(sample) == "png" and image_ending({"gif": b"", "JPG": b""}) == "JPG"
    assert image_ending({"txt": b"", "json": b"", "0.png": b""}) is None


def test_a_photo_with_an_odd_exif_tag_is_kept_and_upright():
    block = b"Exif\0\0II*\0\x08\0\0\0\2\0" + struct.pack(
        "<HHI4sHHI4sI", 0x0112, 3, 1, b"\6\0", 0x0100, 2, 4, b"six", 0
    )
    buffer = io.BytesIO()
    Image.new("RGB", (64, 40)).save(buffer, "jpeg", exif=block)
    assert decode_image(buffer.getvalue(), 16, longest=100).shape == (3, 64, 40)
