"""The tokenizer's stage takes images of its encoder's size alone, and says so before a step."""

from types import SimpleNamespace

import pytest

from lightning_modules.component_configs import TokenizerConfig
from lightning_modules.tokenizer import TokenizerModule
from models.tokenizer.encoder import VisionEncoder
from models.unified import Illume


def test_images_of_another_size_than_the_encoders_are_refused(tmp_path):
    Illume(encoder=VisionEncoder(image_size=24, width=32, layers=1, heads=2)).save_pretrained(str(tmp_path))
    stage = TokenizerModule(str(tmp_path), TokenizerConfig(codes=16, code_width=4, heads=2))
    stage._trainer = SimpleNamespace(
        datamodule=SimpleNamespace(image_size=48),
        default_root_dir="run",
        is_global_zero=False,
        ckpt_path=None,
    )
    with pytest.raises(
        ValueError, match="images are 48 x 48, .* 24 x 24: set data.init_args.image_size to 24"
    ):
        stage.configure_model()
