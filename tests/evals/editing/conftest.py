"""Folders of tiny networks for the measures."""

from pathlib import Path

import pytest

from tests.evals.editing.tiny_sets import save_dino, save_dinov2
from tests.evals.geneval.tiny_networks import save_clip


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    save_clip(folder / "clip")
    save_dino(folder / "dino")
    save_dinov2(folder / "dinov2")
    return folder
