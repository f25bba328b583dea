"""The peer of the language model: a causal LM of `transformers` with the same weights, to generate and to train."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.generation.logits_process import LogitsProcessor

from models.language.unified_lm import UnifiedLM


class Only(LogitsProcessor):
    """Leaves some words alone to choose from: one addition of a mask that is there."""

    def __init__(self, words: Sequence[int], size: int) -> None:
        self.mask = torch.full((size,), -torch.inf)
        self.mask[torch.tensor(words)] = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) with nothing else to choose from."""
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
    known = model.trunk.config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    names += ("num_key_value_heads", "max_position_embeddings")
    return {name: getattr(known, name) for name in names}


@torch.no_grad()
def copy_trunk(ours: nn.Module, theirs: nn.Module) -> None:
    """Gives their trunk our weights; embeddings are another matter."""
    kept = {name: value for name, value in ours.state_dict().items() if "embed_tokens" not in name}
    missing = theirs.load_state_dict(kept, strict=False)
    if [name for name in missing.missing_keys if "embed_tokens" not in name] or missing.unexpected_keys:
        raise ValueError(f"the trunks differ: {missing}")
