"""Messages of lmms-eval become documents, and pictures of any kind what the encoder takes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.lmms.messages import ImageReader, read_messages
from models.document import See, Text
from models.image_input import ImageInput


def image(name: str) -> dict:
    return {"type": "image", "url": name}


def words(text: str) -> dict:
    return {"type": "text", "text": text}


def test_words_and_images_keep_their_order():
    content = [words("look at"), image("a"), words("and"), image("b"), words("which is red ?")]
    assert read_messages([{"role": "user", "content": content}], str.upper) == [
        Text("look at"),
        See("A"),
        Text("and"),
        See("B"),
        Text("which is red ?"),
    ]


def test_a_system_stands_above_the_question_and_an_assistant_has_its_own_turn():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [words("is it red ?"), words("  ")]},
        {"role": "assistant", "content": [words("yes")]},
        {"role": "user", "content": "and round ?"},
    ]
    assert read_messages(messages, str) == [
        Text("be brief\nis it red ?"),
        Text("yes", learn=True),
        Text("and round ?"),
    ]


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_what_is_neither_words_nor_image_is_named(kind: str):
    with pytest.raises(ValueError, match=f"it shows a {kind}, and this model takes images and texts only"):
        read_messages([{"role": "user", "content": [{"type": kind, "url": "a.mp4"}]}], str)


def test_an_image_of_the_encoders_size_is_not_touched():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert torch.equal(
        ImageReader(ImageInput(16), "pad")(Image.fromarray(pixels)), torch.from_numpy(pixels).permute(2, 0, 1)
    )


def test_a_wide_picture_is_seen_whole_or_cut():
    """Red, green and red side by side: its middle is green alone."""
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 40:, 0] = pixels[:, 20:40, 1] = 200
    whole, cut = (ImageReader(ImageInput(12), fit)(Image.fromarray(pixels)) for fit in ("pad", "crop"))
    assert whole.shape == cut.shape == (3, 12, 12)
    assert whole[:, 0].unique().tolist() == [255]  # white above
    assert whole[:, 6, 0].tolist() == [200, 0, 0] == whole[:, 6, 11].tolist()
    assert (cut[:, :, 2:-2] == torch.tensor([0, 200, 0])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_any_mode_is_seen_in_three_colours(mode: str):
    assert (
        ImageReader(ImageInput(8), "pad")(Image.new("RGB", (8, 8), "white").convert(mode)).tolist()
        == [[[255] * 8] * 8] * 3
    )


def test_what_is_transparent_is_white_and_sixteen_bits_are_grey():
    assert ImageReader(ImageInput(8), "pad")(Image.new("RGBA", (8, 8), (0, 0, 0, 0))).min() == 255
    assert ImageReader(ImageInput(8), "pad")(
        Image.fromarray(np.full((8, 8), 257 * 99, np.uint16))
    ).unique().tolist() == [99]


def test_the_same_picture_is_one_tensor_and_files_are_pictures_too(tmp_path: Path):
    eye, red = ImageReader(ImageInput(8), "pad"), Image.new("RGB", (30, 30), "red")
    red.save(tmp_path / "red.png")
    assert eye(red) is eye(red.copy()) is eye(str(tmp_path / "red.png"))
    assert eye(Image.new("RGB", (30, 30), "blue")) is not eye(red)


def test_what_is_no_picture_is_named(tmp_path: Path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG but no more")
    for name in ("bad.png", "none.png"):
        with pytest.raises(ValueError, match=f"{name} is no image that can be read"):
            ImageReader(ImageInput(8), "pad")(str(tmp_path / name))
    with pytest.raises(ValueError, match="an image is a dict, where a picture or a file's name is wanted"):
        ImageReader(ImageInput(8), "pad")({"bytes": b""})


def test_a_page_is_seen_whole_by_a_model_that_slices():
    """A page of 1344 x 1792 in slices of 448 is 12 cells: nothing of it may be lost before it is cut."""
    page = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1792, 1344, 3), dtype=np.uint8))
    seen = ImageReader(ImageInput(448, longest=9 * 448), "pad")(page)
    assert np.array_equal(seen.permute(1, 2, 0).numpy(), np.asarray(page))
