"""Weights can be asked for by the hash that a report names."""

from pathlib import Path

import pytest

from evals.clip import ClipNetwork
from evals.pinned_weights import split_pin
from tests.evals.geneval.tiny_networks import save_clip


def test_only_the_weights_of_that_hash_are_taken(tmp_path: Path) -> None:
    folder = str(save_clip(tmp_path / "clip"))
    name = ClipNetwork(folder, "cpu", "any").name
    pin = name.removesuffix(")").split("(")[1]
    assert ClipNetwork(f"{folder}@{pin}", "cpu", "any").name == name
    save_clip(tmp_path / "clip", seed=1)
    with pytest.raises(ValueError, match=rf"--clip: these weights are clip \(.*\), and not {pin}"):
        ClipNetwork(f"{folder}@{pin}", "cpu", "any")


def test_what_is_no_hash_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="after @ come the twelve hex digits that a report names, not 'main'"
    ):
        split_pin("openai/clip@main", "--clip")
    assert split_pin("openai/clip", "--clip") == ("openai/clip", None)
    (tmp_path / "a@b").mkdir()
    assert split_pin(str(tmp_path / "a@b"), "--clip") == (str(tmp_path / "a@b"), None)
