"""What `benchmarks/gpu_checks.py` runs on: networks with random weights from 1B to 7B, and smallest ones for a CPU."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from benchmarks.language_models import SEVEN_B, llama, random_model, text_segment
from lightning_modules.component_configs import LoRAConfig
from lightning_modules.language import LanguageModule
from lightning_modules.language_start import enable_gradient_checkpointing
from models.language.lora import add_lora
from models.language.unified_lm import UnifiedLM
from models.sequence import DRAW, PackedBatch, collate
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from training.plan.workload import Workload


class Size(NamedTuple):
    """Of the networks and of their input."""

    trunk: tuple[int, int, int]
    text: int
    codes: int
    vit: tuple[int, int, int, int]  # width, layers, heads, width of the MLP
    side: int
    patch: int
    length: int

    @property
    def tokens(self) -> int:
        """Codes of an image."""
        return (self.side // self.patch) ** 2


IMAGES = 4  # drawn in a row of `batch_of`
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
        """Number that the tokenizer is checked on."""
        return 4 if self.kind == "cpu" else 32


def vision_of(size: Size) -> tuple[PretrainedEncoder, SemanticTokenizer]:
    """A frozen encoder, and a tokenizer of its features."""
    width, layers, heads, mlp_width = size.vit
    vit = {
        "model_type": "clip_vision_model", "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": mlp_width, "patch_size": size.patch,
        "image_size": size.side,
    }  # fmt: skip
    encoder = PretrainedEncoder(vit, image_size=size.side).requires_grad_(False).eval()
    tokenizer = SemanticTokenizer(width, size.tokens, size.codes, 32, 1, heads, "ema")
    return encoder, tokenizer.requires_grad_(False)


def language_of(size: Size, device: str) -> UnifiedLM:
    """A language model, the same each time."""
    trunk = llama(*size.trunk, positions=8192)
    return random_model(trunk, size.text, size.codes, size.vit[0], size.tokens, device, backend="mask")


class RandomStage(LanguageModule):
    """The language model's stage on networks with random weights; with `lora` its trunk is frozen in bfloat16."""

    def __init__(self, size: Size, device: str, lora: dict[str, Any] | None) -> None:
        rates = {"trunk": 1e-4, "text": 0.0 if lora else 1e-4, "adapter": 1e-4, "vision": 1e-4}
        super().__init__(
            rates,
            {},
            warmup_steps=1,
            lora=LoRAConfig(**lora) if lora else None,
            gradient_checkpointing=lora is not None,
            frozen_dtype="bfloat16" if lora else "float32",
        )
        self.size, self.place = size, device
        self._trainer = SimpleNamespace(max_steps=10, precision="bf16-mixed", estimated_stepping_batches=10)
        with torch.device(device):
            self.build_model()
        self.train()

    def assemble(self) -> None:
        """Makes the networks."""
        encoder, tokenizer = vision_of(self.size)
        self.model = Illume(encoder, tokenizer.eval(), language=language_of(self.size, self.place))
        if self.lora is not None:
            add_lora(self.model.language, self.lora.given)
            enable_gradient_checkpointing(self.model, False)


def workload_of(size: Size) -> Workload:
    """A row half full of images."""
    drawn = max(1, size.length // size.tokens // 2)
    return Workload(
        1, size.length, drawn, drawn, 2 * drawn, size.length // 16, drawn * size.tokens, 2 * drawn
    )


def batch_of(size: Size) -> PackedBatch:
    """A row of text that ends in IMAGES images, as codes."""
    segment = text_segment(range(3, 3 + size.length - IMAGES * size.tokens), learn=True)
    for _ in range(IMAGES):
        segment.add([size.text] * size.tokens, kind=DRAW, learn=True)  # the loss puts the codes in
        segment.draw_images.append(None)
    return collate([segment], [[0]], size.length, 0)
