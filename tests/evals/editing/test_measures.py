"""Each measure on real classes, compared with its definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel, ViTModel

from evals.clip import ClipNetwork
from evals.editing.dino import Dino, preprocess
from evals.editing.edits import Comparison
from evals.editing.measures import Measures, difference
from tests.evals.editing.tiny_sets import picture, png


@pytest.fixture(scope="module")
def measures(networks: Path) -> Measures:
    return Measures(ClipNetwork(str(networks / "clip"), "cpu", "any"), Dino(str(networks / "dino")))


def comparison(
    before: int = 1, reference: int = 2, words: tuple[str, str] = ("cat", "red cow")
) -> Comparison:
    reads = (lambda: png(picture(before)), lambda: png(picture(reference)))
    return Comparison("x.png", *reads, *words, "x")


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


@torch.no_grad()
def test_measures_are_their_definitions(networks: Path, measures: Measures) -> None:
    scores = measures.measure(picture(0), comparison())
    clip, words = (
        CLIPModel.from_pretrained(networks / "clip").eval(),
        AutoTokenizer.from_pretrained(networks / "clip"),
    )

    def seen(image: Image.Image) -> torch.Tensor:
        pixels = measures.clip.processor(images=image, return_tensors="pt")["pixel_values"]
        features = clip.get_image_features(pixels).pooler_output[0]
        return features / features.norm()

    def text_direction(text: str) -> torch.Tensor:
        features = clip.get_text_features(**words(text, return_tensors="pt")).pooler_output[0]
        return features / features.norm()

    assert scores["clip_i"] == pytest.approx(cosine(seen(picture(0)), seen(picture(2))), abs=1e-5)
    assert scores["clip_t"] == pytest.approx(cosine(seen(picture(0)), text_direction("red cow")), abs=1e-5)
    step, said = seen(picture(0)) - seen(picture(1)), text_direction("red cow") - text_direction("cat")
    assert scores["clip_dir"] == pytest.approx(cosine(step, said), abs=1e-4)
    dino = ViTModel.from_pretrained(networks / "dino", add_pooling_layer=False).eval()
    first, second = (dino(preprocess(picture(i))[None]).last_hidden_state[0, 0] for i in (0, 2))
    assert scores["dino"] == pytest.approx(cosine(first, second), abs=1e-5)
    pixels = [np.array(picture(i), dtype=float) / 255 for i in (0, 2)]
    assert scores["l1"] == pytest.approx(np.abs(pixels[0] - pixels[1]).mean())


def test_the_reference_itself(measures: Measures) -> None:
    scores = measures.measure(picture(2), comparison())
    assert scores["l1"] == 0 and scores["dino"] == pytest.approx(1) and scores["clip_i"] == pytest.approx(1)


def test_undefined_directions(measures: Measures) -> None:
    assert measures.measure(picture(1), comparison())["clip_dir"] == 0  # nothing was edited
    assert measures.measure(picture(0), comparison(words=("a cow", "a cow")))["clip_dir"] is None


def test_sizes_may_differ() -> None:
    left = Image.new("RGB", (10, 20), (255, 0, 0))
    assert difference(left, Image.new("RGB", (40, 40), (255, 0, 0))) == 0
    assert difference(left, Image.new("RGB", (40, 40), (255, 51, 0))) == pytest.approx(0.2 / 3)


class Pixels:
    """In CLIP's and DINO's place: what DINO's preparation leaves of an image, as a direction."""

    def encode_images(self, images: list[Image.Image]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.stack([preprocess(im).flatten() for im in images]), dim=-1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        return torch.ones(len(texts), 3 * 224 * 224)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (500, 224)])
@pytest.mark.parametrize("side", [224, 512])
def test_a_perfect_edit_of_any_shape_scores_1(size: tuple[int, int], side: int) -> None:
    """The model's result is a square of all of the source; each network cuts its own middle out of what it is given."""
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [127 + 100 * np.sin(x / 23), 127 + 100 * np.sin(y / 31), 127 + 100 * np.cos((x + y) / 47)]
    source = Image.fromarray(np.stack(waves, -1).astype(np.uint8))
    result = source.resize((side, side), Image.Resampling.BICUBIC)
    one = Comparison("x.png", lambda: png(source), lambda: png(source), "cat", "red cow", "x")
    scores = Measures(Pixels(), Pixels()).measure(result, one)
    assert scores["dino"] == pytest.approx(1, abs=1e-3) and scores["clip_i"] == pytest.approx(1, abs=1e-3)
    assert scores["l1"] < 0.005


def test_a_reference_of_another_size_than_its_source(measures: Measures) -> None:
    one = Comparison(
        "x.png", lambda: png(picture(1, (90, 60))), lambda: png(picture(2, (60, 90))), "a", "b", "x"
    )
    scores = measures.measure(picture(2, (60, 90)), one)
    assert scores["dino"] == pytest.approx(1) and scores["clip_i"] == pytest.approx(1) and scores["l1"] == 0
