"""Settings check their values, find their networks, and document themselves."""

from pathlib import Path

import pytest

from evals.settings import EmuEditSettings, GenEvalSettings, MagicBrushSettings

NETWORKS = {"clip": "openai/clip-vit-base-patch32", "dino": "facebook/dino-vits16"}


@pytest.mark.parametrize("name", ["limit", "batch", "seeds", "per_category"])
def test_counts_are_at_least_1(name: str) -> None:
    with pytest.raises(ValueError, match=f"GenEval: {name} 0 is out of range: a whole number from 1"):
        GenEvalSettings(prompts="playground", detector="playground", **{name: 0})


def test_networks_are_folders_or_names_on_the_hub(tmp_path: Path) -> None:
    EmuEditSettings(data=tmp_path, **NETWORKS).check_weights()
    EmuEditSettings(data=tmp_path, **NETWORKS | {"clip": str(tmp_path)}).check_weights()
    GenEvalSettings(prompts="playground", detector="playground").check_weights()
    with pytest.raises(FileNotFoundError, match="--dino no/such/one: there is no such folder"):
        MagicBrushSettings(data=tmp_path, **NETWORKS | {"dino": "no/such/one"}).check_weights()


def test_fields_are_documented() -> None:
    assert "    detector: Mask2Former, OWLv2 or Grounding DINO" in str(GenEvalSettings.__doc__)
