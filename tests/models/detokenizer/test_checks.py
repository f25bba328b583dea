"""UNet, VAE, features and images that do not fit each other are one clear line."""

import pytest
import torch

from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from tests.models.detokenizer.test_stable_diffusion import SEEDS, SIZES, detokenizer
from tests.tiny_stable_diffusion import UNETS, VAE


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"image_size": 50}, "image_size 50 is no multiple of 4"),
        ({"condition": "text"}, "condition is one of cross_attention, concat, not 'text'"),
        ({"solver": "ddim"}, "solver is one of dpm, euler"),
        ({"drop": 1.0}, r"drop is in \[0, 1\)"),
        ({"guidance": -1.0}, "guidance in"),
        ({"steps": 0}, "are at least 1"),
        ({"grid": 13}, "13 x 13 features cannot be laid over 12 x 12 latents"),
        (
            {"unet": UNETS["1.5"] | {"in_channels": 9}},
            "takes 9 channels and gives 4, the VAE's latents have 4",
        ),
        ({"vae": VAE | {"latent_channels": 16}}, "the VAE's latents have 16"),
        ({"unet": UNETS["1.5"] | {"num_class_embeds": 7}}, "num_class_embeds 7, which features cannot serve"),
        ({"unet": UNETS["1.5"] | {"cross_attention_dims": 7}}, "did you mean cross_attention_dim"),
        (
            {"unet": UNETS["xl"] | {"projection_class_embeddings_input_dim": 24}},
            "no more than six sizes of 4",
        ),
        ({"scheduler": {"prediction_type": "flow"}}, "prediction_type is one of epsilon"),
        ({"scheduler": {"beta_sart": 1}}, "did you mean beta_start"),
    ],
)
def test_incompatible_sizes_are_refused(change, line):
    recipe = {"unet": UNETS["1.5"], "vae": VAE, "scheduler": {}} | SIZES
    with torch.device("meta"), pytest.raises(ValueError, match=line):
        StableDiffusionDetokenizer(**recipe | change)


def test_features_and_images_of_other_sizes_are_refused(tmp_path, features, pixels):
    made = detokenizer(tmp_path)
    with pytest.raises(ValueError, match="4 features of width 8, the detokenizer takes 3 x 3 of width 8"):
        made.decode(features[:, :4], SEEDS)
    with pytest.raises(ValueError, match="set data.init_args.image_size to 24"):
        made.loss(features, pixels[..., :20, :20])
