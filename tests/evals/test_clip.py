"""CLIP's weights can be asked for by their hash."""

from pathlib import Path

import pytest

from evals.clip import ClipNetwork
from tests.evals.geneval.tiny_networks import save_clip


def test_weights_of_another_hash_than_the_pin_are_refused(tmp_path: Path) -> None:
    folder = str(save_clip(tmp_path / "clip"))
    name = ClipNetwork(folder, "cpu", "any").name
    pin = name.removesuffix(")").split("(")[1]
    assert ClipNetwork(f"{folder}@{pin}", "cpu", "any").name == name
    save_clip(tmp_path / "clip", seed=1)
    with pytest.raises(ValueError, match=rf"--clip: these weights are clip \(.*\), and not {pin}"):
        ClipNetwork(f"{folder}@{pin}", "cpu", "any")
