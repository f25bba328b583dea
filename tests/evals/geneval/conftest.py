"""Folders of tiny detectors, and a picture for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evals.geneval.tiny_networks import save_grounding_dino, save_mask2former, save_owlv2


@pytest.fixture(scope="session")
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
