"""The share of codes that resizing twice changes is a share, and none changes where nothing is resized."""

from PIL import Image

from benchmarks.resizing import code_differences, pictures
from tests.fixtures import make_tiny_illume


def test_shares_of_codes_that_differ():
    model = make_tiny_illume()
    model.tokenizer.train()(model.features(model.code_input(pictures(1, 0)[0])[None]))
    found = code_differences(model.eval(), pictures(4, 0))
    assert 0 <= found["codes_that_differ"] <= found["images_with_one"] <= 1
    plain = code_differences(model, [Image.new("RGB", (200, 150), "red")])
    assert plain == {"codes_that_differ": 0.0, "images_with_one": 0.0}
