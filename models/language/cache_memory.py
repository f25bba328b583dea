"""How much memory decoding takes, and so how many images or answers are decoded at once.

A language model of 7B keeps half a megabyte of keys and values for each token of a row in half precision, so a hundred
drawings with their unconditional rows are tens of gigabytes.
"""

from typing import Any

from models.device import free_memory
from models.language.unified_lm import UnifiedLM

SHARE = 0.8  # of the free memory
SAMPLING_BYTES = 6 * 4  # of a row by code: logits in single precision, sorted, summed


def bytes_per_token(model: UnifiedLM) -> int:
    """Keys and values of one token in all layers."""
    config: Any = model.trunk.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * model.vision_head.itemsize


def bytes_per_row(model: UnifiedLM, prompt: int, room: int) -> int:
    """The most that a row takes: a prompt of so many tokens, and up to `room` more that are decoded."""
    config: Any = model.trunk.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    held = bytes_per_token(model) * (2 * prompt + room)  # twice, while the prompt's cache is copied
    # one layer's hidden states and the mask of its attention
    prefill = model.vision_head.itemsize * prompt * (6 * config.hidden_size + 2 * inner + 2 * prompt)
    return held + max(prefill, SAMPLING_BYTES * model.vocabulary.codes)


def batch_size(model: UnifiedLM, prompt: int, room: int, rows: int = 1) -> int:
    """How many answers or drawings of so many rows each fit the free memory of the model's device, at least one."""
    free = free_memory(model.vision_head.device)
    return max(1, int(SHARE * free / (rows * bytes_per_row(model, prompt, room))))
