"""Single values and lists, images of any kind, and one clear line for what is none."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.unified import Illume
from models.user_input import load_image, make_seeds, pair_up
from tests.fixtures import make_tiny_illume

RED = Image.new("RGBA", (90, 40), "red")


@pytest.fixture(scope="module")
def model() -> Illume:
    return make_tiny_illume()


def test_every_kind_of_image_is_the_same_image(tmp_path: Path) -> None:
    RED.save(tmp_path / "red.png")
    tensor = torch.from_numpy(np.asarray(RED.convert("RGB")).copy()).permute(2, 0, 1)
    images = [load_image(one) for one in (RED, tmp_path / "red.png", str(tmp_path / "red.png"), tensor)]
    assert all(image.mode == "RGB" and np.array_equal(image, images[0]) for image in images)


def test_single_values_give_single_values_and_lists_lists(model: Illume, tmp_path: Path) -> None:
    RED.save(tmp_path / "red.png")
    assert isinstance(model.ask(RED, "what ?", limit=2), str)
    assert len(model.ask(str(tmp_path / "red.png"), ["what ?", "where ?"], limit=2)) == 2
    assert len(model.describe([RED, tmp_path / "red.png"], limit=2)) == 2
    assert len(model.ask(torch.zeros(2, 3, 60, 50, dtype=torch.uint8), "what ?", limit=2)) == 2
    drawn, (again,) = model.draw("a star", seed=5), model.draw(["a star"], seed=[5])
    assert drawn.size == (48, 48) and np.array_equal(drawn, again)
    edited = model.edit([RED, drawn], "make it blue")
    assert [image.size for image in edited] == [(48, 48)] * 2


def test_seeds_are_random_but_reported(model: Illume, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    torch.manual_seed(1)
    drawn = model.draw("a star")
    seed = drawn.info["seed"]
    assert f"seeds: {seed}" in caplog.text and np.array_equal(drawn, model.draw("a star", seed=seed))
    assert make_seeds(None, 2) != make_seeds(None, 2) and make_seeds(3, 2) == [3, 4]
    torch.manual_seed(1)
    assert make_seeds(None, 1) == [seed]


def test_batches_draw_what_one_draws(model: Illume, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.draw(["a star"] * 3, seed=7)
    monkeypatch.setattr("models.unified.BATCH", 2)
    assert all(
        np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 2
        for a, b in zip(whole, model.draw(["a star"] * 3, seed=7), strict=True)
    )


def test_a_model_in_bfloat16_draws_and_answers() -> None:
    model = make_tiny_illume().to("cpu", torch.bfloat16)
    assert model.draw("a star", seed=1).size == (48, 48) and isinstance(
        model.ask(RED, "what ?", limit=2), str
    )
    assert model.edit(RED, "make it blue", seed=1).size == (48, 48)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.draw(" "), "the prompt is empty"),
        (lambda m: m.draw([]), "there is no prompt: give one at least"),
        (lambda m: m.draw(3), "the prompt must be text, not 3"),
        (lambda m: m.draw(["a", "b"], seed=[1]), "there are 1 seeds and 2 images to draw"),
        (lambda m: m.draw("a", seed=-1), "the seed -1 is no whole number from 0"),
        (lambda m: m.ask("absent.png", "what ?"), "absent.png is not there"),
        (lambda m: m.ask(__file__, "what ?"), f"{__file__} is no image that can be read"),
        (lambda m: m.describe(Path(__file__).parent), "is not a file"),
        (lambda m: m.ask(RED, ""), "the question is empty"),
        (
            lambda m: m.ask([RED, RED], ["a", "b", "c"]),
            "there are 2 images and 3 questions: give as many of both",
        ),
        (lambda m: m.edit([], "a"), "there is no image: give one at least"),
        (
            lambda m: m.edit(torch.zeros(3, 4, 4), "a"),
            "an image as a tensor is (3, H, W) uint8, not (3, 4, 4)",
        ),
        (lambda m: m.describe(None), "an image is a path, an image of PIL or a tensor, not None"),
        (lambda m: m.chat([RED, " "]), "the text is empty"),
    ],
)
def test_bad_input_is_one_clear_line(model: Illume, call, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call(model)
    assert "\n" not in str(error.value)


def test_a_single_text_or_image_is_repeated() -> None:
    assert pair_up(RED, ["a", "b"], "question") == ([RED, RED], ["a", "b"], False)
    assert pair_up([RED, RED], "a", "question") == ([RED, RED], ["a", "a"], False)
    assert pair_up(RED, "a", "question") == ([RED], ["a"], True)
