"""Other people's networks: found, refused where their files are damaged, and held to the hash that a report names."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from evals.fidelity.inception import check_weights
from evals.published_weights import WeightSource
from tests.evals.geneval.tiny_networks import save_clip

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip")


def load(folder: Path) -> None:
    WeightSource.parse(str(folder), "--clip").load_network(CLIPModel, "cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_git_lfs_pointer_is_refused(clip: Path, name: str) -> None:
    (clip / name).write_text(POINTER)
    with pytest.raises(ValueError, match=f"^--clip {clip}.*{name} is a git-lfs pointer.*git lfs pull"):
        load(clip)


def test_truncated_weights_are_refused(clip: Path) -> None:
    path = clip / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=f"^--clip {clip}: does not load"):
        load(clip)


def test_a_network_with_nan_is_refused(clip: Path) -> None:
    network = CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        network.visual_projection.weight[0, 0] = float("nan")
    network.save_pretrained(clip)
    with pytest.raises(
        ValueError, match="--clip .* holds NaN or infinity in 1 tensors: visual_projection.weight"
    ):
        load(clip)


def test_an_inception_file_that_is_a_pointer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights-inception-2015-12-05-6726825d.pth").write_text(POINTER)
    with pytest.raises(ValueError, match="6726825d.pth is a git-lfs pointer"):
        check_weights(tmp_path / "weights-inception-2015-12-05-6726825d.pth")


def test_sources_are_names_with_or_without_a_hash(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="after @ come the twelve hex digits that a report names, not 'main'"
    ):
        WeightSource.parse("openai/clip@main", "--clip")
    assert WeightSource.parse("openai/clip", "--clip") == WeightSource("openai/clip", "--clip", None)
    assert WeightSource.parse("openai/clip@0123456789ab", "--clip").pin == "0123456789ab"
    (tmp_path / "a@b").mkdir()
    assert WeightSource.parse(str(tmp_path / "a@b"), "--clip").name == str(tmp_path / "a@b")
    with pytest.raises(
        FileNotFoundError, match="--clip none: there is no such folder; give one, or a name on the hub"
    ):
        WeightSource.parse("none", "--clip")
