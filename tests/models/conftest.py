"""Small models from scratch, and the one line that a broken model folder is refused by."""

import time
from pathlib import Path

import pytest
import torch

from common.errors import explain
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.language.text_tokenizer import train_text_tokenizer
from models.language.unified_lm import UnifiedLM
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from tests.perturb import perturb

MAX_SECONDS = 20.0  # that a refusal may take; most take some hundredths
TRUNK = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.fixture
def illume() -> Illume:
    """A random model of every part, with weights large enough that its choices are sharp."""
    torch.manual_seed(0)
    words = train_text_tokenizer(["draw a red circle and a blue square", "describe the image"] * 3, 280)
    language = UnifiedLM(TRUNK, len(words), 64, 32, 36, 36, position_embedding=True)
    perturb(language.trunk)
    with torch.no_grad():
        language.position_embedding.mul_(10)
        language.vision_head.mul_(20)
        language.text_head.mul_(20)
    unet = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    return Illume(
        VisionEncoder(width=32, layers=1, heads=2),
        SemanticTokenizer(feature_width=32, codes=64, code_width=8, decoder_layers=1, heads=2),
        DiffusionDetokenizer(feature_width=32, unet=unet, steps=3),
        language,
        words,
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    """Five random images."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 3, 48, 48), generator=generator, dtype=torch.uint8)


@pytest.fixture
def folder(illume: Illume, tmp_path: Path) -> Path:
    """The folder of that model."""
    illume.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    """The one line that loading ends in; empty where it loads."""
    begun = time.monotonic()
    try:
        Illume.from_pretrained(str(folder))
        return ""
    except Exception as error:
        line = explain(error)
        assert line is not None, f"a traceback: {type(error).__name__}: {error}"
        assert "\n" not in line and line.isprintable() and len(line) < 1000, line
        return line
    finally:
        assert time.monotonic() - begun < MAX_SECONDS


@pytest.fixture
def pixel_illume(illume) -> Illume:
    """The random model, with a pixel tokenizer and its decoder in place."""
    illume.tokenizer, illume.detokenizer = (
        PixelTokenizer(width=32, layers=1, heads=2, codes=64, code_width=8, decoder_layers=1),
        PixelDecoder(32, 6),
    )
    return illume.eval()
