"""Mask2Former as the library has it, and its instances."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, Mask2FormerForUniversalSegmentation
from transformers.models.mask2former import modeling_mask2former

from evals.geneval.mask2former import Mask2FormerDetector, box_of, instances
from tests.evals.geneval.tiny_networks import save_mask2former


def test_logits_are_the_librarys_with_trained_weights(
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
        outputs = real(**pixels)
    assert torch.allclose(classes, outputs.class_queries_logits, atol=1e-5)
    assert torch.allclose(masks, outputs.masks_queries_logits, atol=1e-5)


def test_instances_of_logits() -> None:
    classes = torch.full((3, 4), -20.0)
    classes[0, 2], classes[1, 0], classes[2, 3] = 20, 20, 20  # the third query sees nothing
    classes[0, 1] = 20 + np.log(0.25)  # the first is a 2 by 0.8, a 1 by 0.2
    masks = torch.full((3, 4, 4), -30.0)
    masks[0, :2, :2], masks[1, 2:, :] = 30, np.log(3)  # sure of the first, 0.75 of each pixel of the second
    scores, labels, inside = instances(classes, masks, (8, 4), 0.1)
    assert dict(zip(labels.tolist(), scores.tolist(), strict=True)) == pytest.approx(
        {2: 0.8, 0: 0.75, 1: 0.2}, abs=1e-4
    )
    assert inside.shape == (3, 4, 8)
    boxes = {i: box_of(mask) for i, mask in zip(labels.tolist(), inside.numpy(), strict=True)}
    assert boxes == {2: (0, 0, 4, 2), 1: (0, 0, 4, 2), 0: (0, 2, 8, 4)}
    assert instances(classes, masks, (8, 4), 0.76)[1].tolist() == [2]


def test_a_box_holds_its_mask_and_no_more() -> None:
    mask = np.zeros((10, 20), bool)
    mask[3:5, 7] = mask[8, 2:12] = True
    assert box_of(mask) == (2, 3, 12, 9)


def test_the_name_depends_on_weights_and_settings_but_not_on_the_path(
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


def test_a_folder_without_some_weights_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    source = save_mask2former(tmp_path / "m")
    tensors = load_file(source / "model.safetensors")
    del tensors["class_predictor.bias"]
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 of its weights, class_predictor.bias"):
        Mask2FormerDetector(str(source))
