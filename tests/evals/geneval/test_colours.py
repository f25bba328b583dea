"""Colours by CLIP: the crop that is looked at, and the words that it is compared with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel

from evals.geneval.colours import ClipColours, crop
from evals.geneval.detection import Detection
from evals.geneval.vocabulary import COLOURS
from tests.evals.geneval.tiny_networks import save_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("networks") / "clip")


def test_a_crop_is_the_box_with_grey_outside_the_mask() -> None:
    image = Image.new("RGB", (20, 10), "red")
    assert crop(image, Detection("cow", 1, (2.4, 1.6, 7.7, 9.2))).size == (6, 7)  # to the nearest pixel
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:6] = True
    seen = np.array(crop(image, Detection("cow", 1, (2, 1, 8, 6), mask)))
    assert seen.shape == (5, 6, 3)
    assert (seen[1:4, 1:4] == (255, 0, 0)).all() and (seen == (255, 0, 0)).all(-1).sum() == 9
    assert (seen[0] == 0x99).all()


@pytest.mark.parametrize("box", [(3, 3, 3, 3), (3.4, 3.4, 3.6, 3.4), (20, 10, 20, 10)])
def test_a_box_without_width_is_still_a_pixel(box: tuple[float, float, float, float]) -> None:
    assert crop(Image.new("RGB", (20, 10)), Detection("cow", 1, box)).size == (1, 1)


def test_the_nearest_of_the_mean_wordings(folder: Path) -> None:
    """Written out once more, a crop and a wording at a time."""
    reader = ClipColours(str(folder))
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (32, 96, 3), dtype=np.uint8))
    objects = [Detection("cow", 1, (32 * i, 0, 32 * i + 32, 32)) for i in range(3)]
    network, words = CLIPModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        directions = []
        for colour in COLOURS:
            said = [
                f"a photo of a {colour} cow",
                f"a photo of a {colour}-colored cow",
                f"a photo of a {colour} object",
            ]
            printed = [
                network.get_text_features(**words(s, return_tensors="pt")).pooler_output[0] for s in said
            ]
            mean = sum(t / t.norm() for t in printed) / 3
            directions.append(mean / mean.norm())
        wanted = []
        for one in objects:
            pixels = reader.clip.processor(images=image.crop(one.box), return_tensors="pt")["pixel_values"]
            seen = network.get_image_features(pixels).pooler_output[0]
            wanted.append(COLOURS[int(torch.stack([d @ (seen / seen.norm()) for d in directions]).argmax())])
        assert torch.allclose(reader.colour_features("cow"), torch.stack(directions), atol=1e-5)
    assert reader.read_colours(image, objects, "cow") == wanted
    assert reader.read_colours(image, [], "cow") == []


def test_other_weights_have_another_name(folder: Path, tmp_path: Path) -> None:
    first = ClipColours(str(folder)).name
    assert first.startswith("clip (") and ClipColours(str(save_clip(tmp_path / "clip"))).name == first
    assert ClipColours(str(save_clip(tmp_path / "clip", seed=1))).name != first
