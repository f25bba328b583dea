"""The shipped model draws, edits and answers as it did before the tree was laid out anew: hashes of codes and text."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import train
from models.generation import SamplingConfig
from models.unified import Illume

PROMPTS = [
    "a green star",
    "two red circles",
    "a blue square left of a yellow triangle",
    "three purple hearts",
    "a red circle and a green square",
    "an orange cross above a blue circle",
    "four white diamonds",
    "a photo of a cat",
]


class Recorded:
    """The shipped model, and a hash of the codes that it has drawn since the last look."""

    def __init__(self) -> None:
        self.model = Illume.from_pretrained(str(Path(train.__file__).parent / "pretrained" / "playground"))
        self.codes: list[Tensor] = []
        decode = self.model.tokenizer.decode
        self.model.tokenizer.decode = lambda codes: self.codes.append(codes.clone()) or decode(codes)

    def hash_codes(self) -> str:
        content = b"".join(codes.cpu().long().numpy().tobytes() for codes in self.codes)
        self.codes.clear()
        return hashlib.sha256(content).hexdigest()[:16]


def hash_text(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Recorded()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(recorded: Recorded) -> Tensor:
    images = recorded.model.draw_batch(PROMPTS, list(range(8)))
    assert recorded.hash_codes() == "ba2c789c22f11255"
    return images


def test_draws_the_same_codes_with_other_settings(recorded: Recorded) -> None:
    recorded.model.draw_batch(PROMPTS, list(range(10, 18)), SamplingConfig(2.0, 0.7, 50, 0.9))
    assert recorded.hash_codes() == "8f85b8c0f73ec077"


def test_edits_and_redraws_the_same_codes(recorded: Recorded, images: Tensor) -> None:
    recorded.model.edit_batch(images[:3], ["make it blue", "remove the circle", "add a red star"], [3, 4, 5])
    assert recorded.hash_codes() == "e5c0ef05f9e3b1f0"
    assessments = recorded.model.assess_batch(images, PROMPTS)
    recorded.model.redraw_batch(images[:2], PROMPTS[:2], assessments[:2], [1, 2])
    assert recorded.hash_codes() == "1d5f579381d207e7"


def test_writes_the_same_text(recorded: Recorded, images: Tensor) -> None:
    assert hash_text(recorded.model.assess_batch(images, PROMPTS)) == "538d6440534fa5f6"
    assert hash_text(recorded.model.describe_batch(images, detail=True)) == "88efc33c22648e98"
    assert hash_text(recorded.model.ask_batch(images, ["what colour is the star?"] * 8)) == "59b209e9b86457eb"


def test_chats_with_the_same_drawing(recorded: Recorded, images: Tensor) -> None:
    answer = recorded.model.chat([images[0], "make it blue"], seed=1)
    assert len(answer) == 1 and isinstance(answer[0], Image.Image)
    assert recorded.hash_codes() == "7976b0a1dd4d5521"
