"""Detectors of the real classes, tiny and from disk: what they find, under which name, and what they refuse."""

from pathlib import Path

import pytest
from PIL import Image

from evals.geneval.detectors import detector_kind, load_detector
from evals.geneval.mask2former import Mask2FormerDetector
from evals.geneval.vocabulary import COCO, OBJECTS
from evals.published_weights import WeightSource
from tests.evals.geneval.tiny_networks import save_mask2former


@pytest.mark.parametrize("kind", ["mask2former", "owlv2", "grounding-dino"])
def test_each_kind_loads_from_its_folder_and_finds_objects(
    folders: dict[str, Path], picture: Image.Image, kind: str
) -> None:
    assert detector_kind(str(folders[kind])) == kind
    detector = load_detector(str(folders[kind]), OBJECTS, OBJECTS)
    found = detector.detect(picture, 0.0)
    assert found and {one.name for one in found} <= set(OBJECTS)
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left <= right <= 56 and 0 <= top <= bottom <= 40 and 0 < one.score <= 1
    middle = sorted(one.score for one in found)[len(found) // 2]
    surer = detector.detect(picture, middle)
    assert [one.score for one in surer] == pytest.approx([one.score for one in found if one.score > middle])


def test_labels_are_mapped_by_name_whatever_their_order_and_spelling(
    tmp_path: Path, picture: Image.Image
) -> None:
    old = {"motorcycle": "motorbike", "airplane": "aeroplane", "couch": "sofa", "tv": "tvmonitor"}
    labels = [old.get(name, name) for name in reversed(COCO)]
    detector = load_detector(str(save_mask2former(tmp_path, labels, sure_of="remote")), OBJECTS, OBJECTS)
    best = max(detector.detect(picture, 0.3), key=lambda one: one.score)
    assert best.name == "tv remote" and best.mask is not None and best.mask.shape == (40, 56)


def test_a_detector_without_the_classes_is_refused(tmp_path: Path) -> None:
    source = str(save_mask2former(tmp_path, [name for name in COCO if name not in ("cow", "mouse")], "cat"))
    load_detector(source, OBJECTS, ["cat", "tv"])
    with pytest.raises(ValueError, match="does not know computer mouse, cow: "):
        load_detector(source, OBJECTS, ["cat", "cow", "computer mouse"])


def test_weights_that_do_not_load_are_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--detector no/such/folder: there is no such folder"):
        detector_kind("no/such/folder")
    with pytest.raises(ValueError, match="--detector .* does not load") as error:
        detector_kind(str(tmp_path))
    assert "\n" not in str(error.value)

    def away(source: str) -> None:
        raise OSError("cannot\nreach the hub")

    with pytest.raises(
        ValueError, match="--clip who/what: there is no such folder, and as a name on the hub it"
    ):
        WeightSource.parse("who/what", "--clip").load(away)
    broken = save_mask2former(tmp_path / "m")
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match="--detector .* does not load"):
        Mask2FormerDetector(str(broken))
    (broken / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a bert: give one of mask2former, owlv2, grounding-dino"):
        detector_kind(str(broken))
