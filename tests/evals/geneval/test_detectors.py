"""Detectors of the real classes, tiny and from disk: what they find, under which name, and what they refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, Mask2FormerForUniversalSegmentation, Owlv2ForObjectDetection
from transformers.models.mask2former import modeling_mask2former

from evals.geneval.detectors import kind_of, load_detector
from evals.geneval.mask2former import Mask2FormerDetector, box_of, instances
from evals.geneval.open_vocabulary import GroundingDinoDetector, Owlv2Detector, token_shares
from evals.geneval.vocabulary import COCO, OBJECTS
from evals.published_weights import load
from tests.evals.geneval.tiny_networks import save_grounding_dino, save_mask2former, save_owlv2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("detectors")
    return {
        "mask2former": save_mask2former(base / "m"),
        "owlv2": save_owlv2(base / "o"),
        "grounding-dino": save_grounding_dino(base / "g"),
    }


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["mask2former", "owlv2", "grounding-dino"])
def test_each_kind_loads_from_its_folder_and_finds_objects(
    folders: dict[str, Path], picture: Image.Image, kind: str
) -> None:
    assert kind_of(str(folders[kind])) == kind
    detector = load_detector(str(folders[kind]), OBJECTS, OBJECTS)
    found = detector.detect(picture, 0.0)
    assert found and {one.name for one in found} <= set(OBJECTS)
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left <= right <= 56 and 0 <= top <= bottom <= 40 and 0 < one.score <= 1
    middle = sorted(one.score for one in found)[len(found) // 2]
    surer = detector.detect(picture, middle)
    assert [one.score for one in surer] == pytest.approx([one.score for one in found if one.score > middle])


def test_mask2former_is_the_librarys_with_weights_as_training_leaves_them(
    picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder's norm among them, which a fresh network would not miss."""
    folder = save_mask2former(tmp_path, trained=True)
    detector = Mask2FormerDetector(str(folder))
    monkeypatch.setattr(modeling_mask2former, "requires_backends", lambda *_: None)
    real = Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=picture, return_tensors="pt")
    with torch.no_grad():
        classes, masks = detector.network(pixels["pixel_values"])
        said = real(**pixels)
    assert torch.allclose(classes, said.class_queries_logits, atol=1e-5)
    assert torch.allclose(masks, said.masks_queries_logits, atol=1e-5)


def test_instances_of_logits() -> None:
    classes = torch.full((3, 4), -20.0)
    classes[0, 2], classes[1, 0], classes[2, 3] = 20, 20, 20  # the third query sees nothing
    classes[0, 1] = 20 + np.log(0.25)  # the first is a 2 by 0.8, a 1 by 0.2
    masks = torch.full((3, 4, 4), -30.0)
    masks[0, :2, :2], masks[1, 2:, :] = 30, np.log(3)  # sure of the first, 0.75 of each pixel of the second
    scores, labels, whole = instances(classes, masks, (8, 4), 0.1)
    assert dict(zip(labels.tolist(), scores.tolist(), strict=True)) == pytest.approx(
        {2: 0.8, 0: 0.75, 1: 0.2}, abs=1e-4
    )
    assert whole.shape == (3, 4, 8)
    boxes = {i: box_of(mask) for i, mask in zip(labels.tolist(), whole.numpy(), strict=True)}
    assert boxes == {2: (0, 0, 4, 2), 1: (0, 0, 4, 2), 0: (0, 2, 8, 4)}
    assert instances(classes, masks, (8, 4), 0.76)[1].tolist() == [2]


def test_a_box_holds_its_mask_and_no_more() -> None:
    mask = np.zeros((10, 20), bool)
    mask[3:5, 7] = mask[8, 2:12] = True
    assert box_of(mask) == (2, 3, 12, 9)


def test_labels_count_by_name_whatever_their_order_and_spelling(tmp_path: Path, picture: Image.Image) -> None:
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


def test_owlv2_pads_to_a_square_and_its_boxes_are_shares_of_that(
    folders: dict[str, Path], picture: Image.Image
) -> None:
    detector = Owlv2Detector(str(folders["owlv2"]), OBJECTS)
    pixels = detector.pixels(Image.new("RGB", (128, 64), "white"))
    white, black = (1 - detector.mean) / detector.std, -detector.mean / detector.std
    assert pixels.shape == (1, 3, 64, 64)
    assert torch.allclose(pixels[0, :, :30], white.expand(3, 30, 64))
    assert torch.allclose(pixels[0, :, 34:], black.expand(3, 30, 64))
    # against what transformers makes of the same network's answers
    network = Owlv2ForObjectDetection.from_pretrained(folders["owlv2"]).eval()
    with torch.no_grad():
        said = network(pixel_values=detector.pixels(picture), **detector.text)
    processor = AutoImageProcessor.from_pretrained(folders["owlv2"], backend="pil")
    (wanted,) = processor.post_process_object_detection(said, 0.1, [(40, 56)])
    found = detector.detect(picture, 0.1)
    assert [one.name for one in found] == [OBJECTS[i] for i in wanted["labels"]]
    assert torch.allclose(torch.tensor([one.score for one in found]), wanted["scores"])
    inside = wanted["boxes"].clamp(min=0).minimum(torch.tensor([56, 40, 56, 40]))
    assert torch.allclose(torch.tensor([one.box for one in found]), inside, atol=1e-4)


def test_words_that_are_not_asked_for_take_nothing(folders: dict[str, Path], picture: Image.Image) -> None:
    for make, kind in ((Owlv2Detector, "owlv2"), (GroundingDinoDetector, "grounding-dino")):
        detector = make(str(folders[kind]), ["cow", "tv remote"])
        assert detector.classes == {"cow", "tv remote"}
        assert {one.name for one in detector.detect(picture, 0.0)} <= {"cow", "tv remote"}


def test_a_class_is_scored_by_its_own_tokens() -> None:
    text = "cow. tv remote. cat."
    spans = [(0, 0), (0, 3), (3, 4), (5, 7), (8, 11), (11, 14), (14, 15), (16, 19), (19, 20), (0, 0)]
    assert [text[a:b] for a, b in spans[1:-1]] == ["cow", ".", "tv", "rem", "ote", ".", "cat", "."]
    share = token_shares(["cow", "tv remote", "cat"], spans, 12)
    assert share.shape == (3, 12) and torch.allclose(share.sum(1), torch.ones(3))
    assert [row.nonzero().flatten().tolist() for row in share] == [[1], [3, 4, 5], [7]]


def test_grounding_dino_takes_the_mean_of_a_classs_tokens(
    folders: dict[str, Path], picture: Image.Image
) -> None:
    detector = GroundingDinoDetector(str(folders["grounding-dino"]), ["cow", "tv remote"])
    pixels = detector.processor(images=picture, return_tensors="pt")
    with torch.no_grad():
        chances = detector.network(**pixels, **detector.text).logits[0].sigmoid()
    both = torch.stack([chances[:, 1], chances[:, 3:5].mean(1)], 1)  # after [CLS]: cow . tv remote .
    assert [one.score for one in detector.detect(picture, 0.0)] == pytest.approx(both.max(1).values.tolist())


def test_more_words_than_it_reads_are_refused(tmp_path: Path) -> None:
    source = str(save_grounding_dino(tmp_path, max_text_len=64))
    with pytest.raises(ValueError, match="reads 64 tokens, the 80 classes are"):
        GroundingDinoDetector(source, OBJECTS)


def test_a_name_tells_weights_and_settings_apart_but_not_places(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    first = Mask2FormerDetector(str(folders["mask2former"])).name
    moved = shutil.copytree(folders["mask2former"], tmp_path / "elsewhere" / "m")
    assert Mask2FormerDetector(str(moved)).name == first and first.startswith("m (")
    settings = json.loads((moved / "preprocessor_config.json").read_text())
    settings["size"]["shortest_edge"] = 64
    (moved / "preprocessor_config.json").write_text(json.dumps(settings))
    resized = Mask2FormerDetector(str(moved)).name
    other = Mask2FormerDetector(str(save_mask2former(tmp_path / "other" / "m", sure_of="cat"))).name
    assert len({first, resized, other}) == 3


def test_what_does_not_load_is_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--detector no/such/folder: there is no such folder"):
        kind_of("no/such/folder")
    with pytest.raises(ValueError, match="--detector .* does not load") as told:
        kind_of(str(tmp_path))
    assert "\n" not in str(told.value)

    def away(source: str) -> None:
        raise OSError("cannot\nreach the hub")

    with pytest.raises(
        ValueError, match="--clip who/what: there is no such folder, and as a name on the hub it"
    ):
        load(away, "who/what", "--clip")
    broken = save_mask2former(tmp_path / "m")
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match="--detector .* does not load"):
        Mask2FormerDetector(str(broken))
    (broken / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a bert: give one of mask2former, owlv2, grounding-dino"):
        kind_of(str(broken))


def test_a_folder_without_some_weights_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    source = save_mask2former(tmp_path / "m")
    tensors = load_file(source / "model.safetensors")
    del tensors["class_predictor.bias"]
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 of its weights, class_predictor.bias"):
        Mask2FormerDetector(str(source))
