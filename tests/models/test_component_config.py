"""A recipe with a mistyped key, a missing one or a value of another type is reported in one line."""

import pytest

from models.component_config import build
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.language.unified_lm import UnifiedLM
from models.tokenizer.encoder import VisionEncoder

TRUNK = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_part_is_built_from_its_recipe():
    encoder = build(VisionEncoder, {"width": 32, "layers": 1, "heads": 2}, "encoder")
    assert encoder.width == 32 and encoder.image_size == 48


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"widht": 32}, "model.encoder has no setting 'widht': did you mean width?"),
        ({"zzz": 1}, "has no setting 'zzz': there is heads, image_size, layers, width"),
        ({"width": "wide"}, "model.encoder: width must be of type int, not 'wide'"),
        ({"width": True}, "width must be of type int, not True"),
    ],
)
def test_what_is_wrong_is_said(recipe, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        build(VisionEncoder, recipe, "model.encoder")


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="language lacks the setting 'text_size'"):
        build(
            UnifiedLM,
            {"trunk": TRUNK, "codes": 8, "feature_width": 8, "see_tokens": 4, "draw_tokens": 4},
            "language",
        )


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        (TRUNK | {"hiden_size": 8}, "the trunk has no setting 'hiden_size': did you mean hidden_size"),
        (TRUNK | {"model_type": "lama"}, "model_type 'lama' is not one of transformers'"),
        ({"hidden_size": 8}, "the trunk lacks model_type"),
    ],
)
def test_a_trunk_that_is_mistyped_is_refused(trunk, message):
    with pytest.raises(ValueError, match=message):
        UnifiedLM(trunk, 10, 8, 8, 4, 4)


def test_a_unet_that_is_mistyped_is_refused():
    with pytest.raises(ValueError, match="the UNet has no setting 'block_channels'"):
        DiffusionDetokenizer(unet={"block_channels": (8, 16)})
