"""Language models that benchmarks measure, with random weights, and causal LMs of `transformers` with the same ones."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.generation.logits_process import LogitsProcessor

from models.language.unified_lm import UnifiedLM
from models.sequence import Segment

Size = tuple[int, int, int]  # width, layers, width of the MLP
SMALL: Size = (256, 6, 688)
LARGE: Size = (512, 8, 1376)
SEVEN_B: Size = (4096, 32, 11_008)  # Vicuna-7B's
SIZES = {"small": SMALL, "7b": SEVEN_B}
TEXT, CODES = 32_000, 16_384  # Vicuna's text tokens, ILLUME's codes
SHARED = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "max_position_embeddings",
)  # fmt: skip


def llama(width: int, layers: int, mlp_width: int, positions: int = 1024) -> dict[str, Any]:
    """The config of a Llama, with heads of its own width where it is as wide as those."""
    heads = width // (128 if width >= 2048 else 64)
    sizes = (width, mlp_width, layers, heads, heads, positions)
    return {"model_type": "llama", **dict(zip(SHARED, sizes, strict=True))}


def random_model(
    trunk: dict[str, Any],
    text: int,
    codes: int,
    features: int,
    tokens: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> UnifiedLM:
    """A language model with random weights, the same each time.

    Args:
        trunk: its config.
        text: size of the text vocabulary.
        codes: size of the codebook.
        features: width of an image's features.
        tokens: of an image, seen or drawn.
        device: of its weights.
        dtype: of its weights.
        settings: more of `UnifiedLM`.
    """
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return UnifiedLM(trunk, text, codes, features, tokens, tokens, **settings)
    finally:
        torch.set_default_dtype(before)


def text_segment(ids: Sequence[int], learn: bool = False) -> Segment:
    """A segment of text tokens."""
    segment = Segment()
    segment.add(ids, learn=learn)
    return segment


class AllowedTokens(LogitsProcessor):
    """Leaves some tokens to choose from: one addition of a mask that is there."""

    def __init__(self, tokens: Sequence[int], size: int) -> None:
        self.mask = torch.full((size,), -torch.inf)
        self.mask[torch.tensor(tokens)] = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) with -inf for every other token."""
        return scores + self.mask


@torch.no_grad()
def causal_lm(model: UnifiedLM) -> LlamaForCausalLM:
    """A causal LM with the weights of a model whose trunk is a Llama."""
    sizes = {**trunk_sizes(model), "vocab_size": model.vocabulary.size, "tie_word_embeddings": False}
    peer = LlamaForCausalLM(LlamaConfig(**sizes)).eval().requires_grad_(False)
    copy_trunk(model.trunk, peer.model)
    peer.model.embed_tokens.weight.copy_(torch.cat([model.text_embedding, model.vision_embedding]))
    peer.lm_head.weight.copy_(torch.cat([model.text_head, model.vision_head]))
    peer.generation_config.pad_token_id = 0
    return peer


def trunk_sizes(model: UnifiedLM) -> dict[str, Any]:
    """The sizes that a peer's config must share."""
    return {name: getattr(model.trunk.config, name) for name in SHARED}


@torch.no_grad()
def copy_trunk(ours: nn.Module, theirs: nn.Module) -> None:
    """Gives their trunk our weights, embeddings apart."""
    kept = {name: value for name, value in ours.state_dict().items() if "embed_tokens" not in name}
    missing = theirs.load_state_dict(kept, strict=False)
    if [name for name in missing.missing_keys if "embed_tokens" not in name] or missing.unexpected_keys:
        raise ValueError(f"the trunks differ: {missing}")
