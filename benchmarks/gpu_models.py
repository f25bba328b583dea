"""What `benchmarks/gpu_checks.py` runs on: networks with random weights from 1B to 7B, and smallest ones for a CPU."""

from dataclasses import replace
from typing import NamedTuple

import torch
from training.plan.samples import Load

from benchmarks.language_models import SEVEN_B, llama
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from training.plan import steps


class Size(NamedTuple):
    """Of the networks and of what they are given."""

    trunk: tuple[int, int, int]
    text: int
    codes: int
    vit: tuple[int, int, int, int]  # width, layers, heads, width between
    side: int
    patch: int
    length: int

    @property
    def tokens(self) -> int:
        """Codes of an image."""
        return (self.side // self.patch) ** 2


VIT_H = (1280, 32, 16, 5120)
SIZES = {
    "tiny": Size((64, 2, 128), 300, 128, (32, 2, 2, 64), 28, 7, 128),
    "1b": Size((2048, 18, 5504), 32_000, 16_384, VIT_H, 224, 14, 2048),
    "3b": Size((3072, 24, 8192), 32_000, 16_384, VIT_H, 224, 14, 2048),
    "7b": Size(SEVEN_B, 32_000, 16_384, VIT_H, 224, 14, 2048),
}


class Setting(NamedTuple):
    """What a check runs on."""

    size: str
    device: str

    @property
    def sizes(self) -> Size:
        """Of the networks."""
        return SIZES[self.size]

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def images(self) -> int:
        """That the tokenizer is tried on."""
        return 4 if self.kind == "cpu" else 32


def eyes_of(size: Size) -> tuple[PretrainedEncoder, SemanticTokenizer]:
    """A frozen encoder, and a tokenizer of its features."""
    width, layers, heads, between = size.vit
    vit = {
        "model_type": "clip_vision_model", "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": between, "patch_size": size.patch,
        "image_size": size.side,
    }  # fmt: skip
    encoder = PretrainedEncoder(vit, image_size=size.side).requires_grad_(False).eval()
    tokenizer = SemanticTokenizer(width, size.tokens, size.codes, 32, 1, heads, "ema")
    return encoder, tokenizer.requires_grad_(False)


def language_of(size: Size, device: str) -> UnifiedLM:
    """A language model, the same each time."""
    torch.manual_seed(0)
    with torch.device(device):
        recipe, tokens = llama(*size.trunk, positions=8192), size.tokens
        return UnifiedLM(recipe, size.text, size.codes, size.vit[0], tokens, tokens, backend="mask")


def load_of(size: Size) -> Load:
    """A row half full of images."""
    drawn = max(1, size.length // size.tokens // 2)
    return Load(1, size.length, drawn, drawn, 2 * drawn, size.length // 16, drawn * size.tokens, 2 * drawn)


def batch_of(size: Size) -> PackedBatch:
    """A row that ends in four images to draw."""
    batch = steps._batch(load_of(size))
    ids, learn, documents = batch.ids, batch.learn.clone(), batch.documents
    draw = torch.zeros_like(learn)
    draw[:, -4 * size.tokens :] = learn[:, -4 * size.tokens :] = True
    positions = torch.arange(ids.shape[1])[None]
    return replace(batch, learn=learn, draw_mask=draw, documents=documents, positions=positions)
