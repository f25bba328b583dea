"""The share of codes that two ways of resizing change is a share, and none changes where nothing is resized."""

from PIL import Image

from benchmarks.resizing import differing, pictures
from tests.fixtures import make_tiny_illume


def test_shares_of_codes_that_differ():
    model = make_tiny_illume()
    model.tokenizer.train()(model.features(model.code_input(pictures(1, 0)[0])[None]))
    found = differing(model.eval(), pictures(4, 0))
    assert 0 <= found["codes_that_differ"] <= found["images_with_one"] <= 1
    plain = differing(model, [Image.new("RGB", (200, 150), "red")])
    assert plain == {"codes_that_differ": 0.0, "images_with_one": 0.0}
