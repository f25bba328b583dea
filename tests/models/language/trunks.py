"""Trunks that can be fused, and prompts to decode from."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.document import draw_document
from models.language.unified_lm import UnifiedLM
from tests.models.conftest import TRUNK
from tests.perturb import perturb

FAMILIES = {
    "llama": TRUNK,
    "grouped": TRUNK | {"num_attention_heads": 4, "num_key_value_heads": 2},
    "biased": TRUNK | {"attention_bias": True, "mlp_bias": True},
    "llama3": TRUNK
    | {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
    "mistral": TRUNK | {"model_type": "mistral", "sliding_window": None},
    "qwen2": TRUNK | {"model_type": "qwen2"},
    "qwen3": TRUNK | {"model_type": "qwen3", "head_dim": 32},
}
PROMPTS = ["a red circle", "a blue square and a red circle and a blue circle", "red", "a red circle"]


def prepare(illume, prompts=PROMPTS):
    """The language model, prompts and null prompts of `draw_codes`."""
    segments = [illume.segment(draw_document(p)) for p in prompts]
    return illume.language, segments, [illume.segment(draw_document(None))] * len(prompts)


def with_trunk(illume, trunk):
    torch.manual_seed(3)
    language = UnifiedLM(trunk, len(illume.text_tokenizer), 64, 32, 36, 36, position_embedding=True).eval()
    with torch.no_grad():
        language.vision_head.mul_(20)
        perturb(language.trunk)
    illume.language = language
    illume.__dict__.pop("sequencer", None)
    return illume


class Waits(TorchDispatchMode):
    """Counts how often the host asks a tensor for a number, which on a GPU makes it wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += "_local_scalar_dense" in str(function) or "nonzero" in str(function)
        return function(*arguments, **(options or {}))
