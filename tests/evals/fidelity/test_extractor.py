"""Features come in the pictures' order, whatever their sizes, and are not computed again where they are kept."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from evals.fidelity import extractor
from evals.fidelity.extractor import Extractor, features_of
from evals.image_sets import image_files
from tests.evals.fidelity.small_network import LAYERS, paint, small_extractor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(extractor, "BATCH", 4)
    return paint(tmp_path / "set", [f"{i}.png" for i in range(9)], 0, sizes=(24, 32, 40))


def test_each_picture_has_the_features_that_it_has_alone(folder: Path) -> None:
    small, pictures = small_extractor(), image_files(folder)
    together = features_of(pictures, small)
    for i, picture in enumerate(pictures):
        alone = features_of([picture], small)
        for layer in LAYERS:
            assert torch.allclose(together[layer][i], alone[layer][0], atol=1e-5)
    cut = features_of(pictures, small, side=16)
    assert cut["16"].shape == (9, 16) and not torch.allclose(cut["16"], together["16"])


def test_kept_features_are_not_computed_again(folder: Path, tmp_path: Path) -> None:
    keep, first, second = tmp_path / "features", small_extractor(), small_extractor()
    pictures = image_files(folder)
    found = features_of(pictures, first, keep)
    again = features_of(pictures, second, keep)
    assert first.network.seen == 9 and second.network.seen == 0
    assert all(found[layer].equal(again[layer]) for layer in LAYERS)
    Image.new("RGB", (24, 24)).save(folder / "5.png")  # in the second batch of three
    features_of(image_files(folder), second, keep)
    assert second.network.seen == 4
    features_of(pictures, second, keep, side=16)
    other = Extractor(small_extractor().network, LAYERS, {"extractor": "another"})
    features_of(pictures, other, keep)
    assert second.network.seen == 13 and other.network.seen == 9


def test_features_that_are_damaged_are_computed_again(folder: Path, tmp_path: Path) -> None:
    keep, small = tmp_path / "features", small_extractor()
    whole = features_of(image_files(folder), small, keep)
    for path in keep.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-30])
    again = features_of(image_files(folder), small, keep)
    assert small.network.seen == 18 and all(whole[layer].equal(again[layer]) for layer in LAYERS)


def test_a_picture_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="3.png is no image that can be read"):
        features_of(image_files(folder), small_extractor())
