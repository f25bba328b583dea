"""OWLv2 and Grounding DINO, prompted with the names of classes."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, Owlv2ForObjectDetection

from evals.geneval.open_vocabulary import GroundingDinoDetector, Owlv2Detector, token_shares
from evals.geneval.vocabulary import OBJECTS
from tests.evals.geneval.tiny_networks import save_grounding_dino


def test_owlv2_pads_to_a_square_and_its_boxes_are_shares_of_that(
    folders: dict[str, Path], picture: Image.Image
) -> None:
    detector = Owlv2Detector(str(folders["owlv2"]), OBJECTS)
    pixels = detector.preprocess(Image.new("RGB", (128, 64), "white"))
    white, black = (1 - detector.mean) / detector.std, -detector.mean / detector.std
    assert pixels.shape == (1, 3, 64, 64)
    assert torch.allclose(pixels[0, :, :30], white.expand(3, 30, 64))
    assert torch.allclose(pixels[0, :, 34:], black.expand(3, 30, 64))
    # against what transformers makes of the same network's answers
    network = Owlv2ForObjectDetection.from_pretrained(folders["owlv2"]).eval()
    with torch.no_grad():
        outputs = network(pixel_values=detector.preprocess(picture), **detector.text)
    processor = AutoImageProcessor.from_pretrained(folders["owlv2"], backend="pil")
    (wanted,) = processor.post_process_object_detection(outputs, 0.1, [(40, 56)])
    found = detector.detect(picture, 0.1)
    assert [one.name for one in found] == [OBJECTS[i] for i in wanted["labels"]]
    assert torch.allclose(torch.tensor([one.score for one in found]), wanted["scores"])
    inside = wanted["boxes"].clamp(min=0).minimum(torch.tensor([56, 40, 56, 40]))
    assert torch.allclose(torch.tensor([one.box for one in found]), inside, atol=1e-4)


def test_only_the_given_classes_are_found(folders: dict[str, Path], picture: Image.Image) -> None:
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


def test_more_tokens_than_it_reads_are_refused(tmp_path: Path) -> None:
    source = str(save_grounding_dino(tmp_path, max_text_len=64))
    with pytest.raises(ValueError, match="reads 64 tokens, the 80 classes are"):
        GroundingDinoDetector(source, OBJECTS)
