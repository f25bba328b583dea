"""DINO and DINOv2 encode images as MagicBrush's scorer preprocesses them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Dinov2Model

from evals.editing.dino import Dino, preprocess
from tests.evals.editing.tiny_sets import picture, save_dino


def test_preprocessing_crops_the_centre() -> None:
    image = Image.new("RGB", (512, 256), (0, 0, 0))
    image.paste((255, 255, 255), (144, 16, 368, 240))  # 224 x 224 in the middle
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    white = torch.tensor((1 - mean) / deviation, dtype=torch.float32)
    assert torch.allclose(preprocess(image), white[:, None, None].expand(3, 224, 224))
    assert preprocess(picture(0, (33, 71))).shape == preprocess(picture(0, (300, 100))).shape == (3, 224, 224)


@torch.no_grad()
def test_dinov2_is_supported(networks: Path) -> None:
    network = Dinov2Model.from_pretrained(networks / "dinov2").eval()
    encoded = Dino(str(networks / "dinov2")).encode_images([picture(0)])[0]
    own = network(preprocess(picture(0))[None]).last_hidden_state[0, 0]
    assert torch.allclose(encoded, own / own.norm(), atol=1e-5)


def test_other_networks_are_refused(networks: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clip is a clip: give a DINO or DINOv2"):
        Dino(str(networks / "clip"))
    with pytest.raises(FileNotFoundError, match="--dino none: there is no such folder"):
        Dino("none")
    name = Dino(str(networks / "dino")).name
    other = save_dino(tmp_path / "dino", seed=1)
    with pytest.raises(ValueError, match="--dino: these weights are dino .*, and not"):
        Dino(f"{other}@{name.removesuffix(')').split('(')[1]}")
