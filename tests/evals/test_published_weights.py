"""Other people's networks whose files are not what they should be are one line that names one."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from evals.fidelity.inception import check_weights
from evals.published_weights import load_network

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    vision = TOWER | {"image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config=TOWER | {"vocab_size": 64}, vision_config=vision, projection_dim=8)
    CLIPModel(config).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_git_lfs_pointer_in_a_network_s_folder_is_named(clip: Path, name: str) -> None:
    (clip / name).write_text(POINTER)
    with pytest.raises(ValueError, match=f"^--clip {clip}.*{name} is a git-lfs pointer.*git lfs pull"):
        load_network(CLIPModel, str(clip), "--clip", "cpu")


def test_weights_that_are_cut_short_are_one_line(clip: Path) -> None:
    path = clip / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=f"^--clip {clip}: does not load"):
        load_network(CLIPModel, str(clip), "--clip", "cpu")


def test_a_network_with_nan_is_refused(clip: Path) -> None:
    network = CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        network.visual_projection.weight[0, 0] = float("nan")
    network.save_pretrained(clip)
    with pytest.raises(
        ValueError, match="--clip .* holds NaN or infinity in 1 tensors: visual_projection.weight"
    ):
        load_network(CLIPModel, str(clip), "--clip", "cpu")


def test_an_inception_file_that_is_a_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights-inception-2015-12-05-6726825d.pth").write_text(POINTER)
    with pytest.raises(ValueError, match="6726825d.pth is a git-lfs pointer"):
        check_weights(tmp_path / "weights-inception-2015-12-05-6726825d.pth")
