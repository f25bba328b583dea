"""The smallest model with every component, from scratch."""

from typing import ClassVar

import pytest
import torch

from lightning_modules.stage_module import StageModule
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.language.text_tokenizer import train_text_tokenizer
from models.language.unified_lm import UnifiedLM
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume

TRUNK = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 384,
}


@pytest.fixture
def tiny_illume() -> Illume:
    """A random model with every component."""
    return make_tiny_illume()


def make_tiny_illume() -> Illume:
    """A random model with every component, the same each time."""
    torch.manual_seed(0)
    words = train_text_tokenizer(
        ["draw a red circle and a blue square", "what colour is the star ?"] * 3, 280
    )
    return Illume(
        VisionEncoder(width=32, layers=1, heads=2),
        SemanticTokenizer(feature_width=32, codes=64, code_width=8, decoder_layers=1, heads=2),
        DiffusionDetokenizer(
            feature_width=32, unet={"block_out_channels": (8, 16), "norm_num_groups": 4}, steps=1
        ),
        UnifiedLM(TRUNK, len(words), 64, 32, 36, 36),
        words,
    ).eval()


class FixedStage(StageModule):
    """A stage with a model that is there already, as a datamodule looks at it."""

    fingerprints: ClassVar[dict[str, str]] = {}

    def __init__(self, model: Illume, fingerprints: dict[str, str] | None = None) -> None:
        super().__init__()
        self.model, self.fingerprints = model, fingerprints or {}
