"""A component's config holds what it was built with, and its hash follows config and weights."""

import copy

import torch

from models.component import hash_components
from models.detokenizer.diffusion import UNET, DiffusionDetokenizer
from models.tokenizer.encoder import VisionEncoder


def test_a_config_holds_defaults_and_what_is_settled_while_building() -> None:
    assert VisionEncoder(24, width=32).config == {"image_size": 24, "width": 32, "layers": 2, "heads": 4}
    config = DiffusionDetokenizer(unet={"block_out_channels": (8, 16), "norm_num_groups": 4}).config
    assert config["unet"] == UNET | {"block_out_channels": (8, 16), "norm_num_groups": 4}


def test_a_copy_has_a_config_of_its_own() -> None:
    encoder = VisionEncoder(24, width=32)
    other = copy.deepcopy(encoder)
    other.config["heads"] = 8
    assert encoder.config["heads"] == 4


def test_the_hash_follows_weights_config_and_what_is_added() -> None:
    encoder = VisionEncoder(24, width=32)
    first = hash_components([encoder])
    assert hash_components([copy.deepcopy(encoder)]) == first != hash_components([encoder], "images 3")
    with torch.no_grad():
        encoder.positions.view(-1)[0] += 1
    assert hash_components([encoder]) != first
    encoder.config["heads"] = 8
    assert len(hash_components([encoder])) == 12
