"""What writing and training cannot do without: bytes and operations of the language model, counted from its sizes."""

from benchmarks.roofline import Work
from models.language.unified_lm import UnifiedLM


def products_of(model: UnifiedLM) -> int:
    """Numbers in the matrices that every token is multiplied by: those of the trunk, without heads and norms."""
    return sum(p.numel() for p in model.parts()["trunk"] if p.ndim == 2)


def reading(model: UnifiedLM, tokens: int, width: int = 4) -> Work:
    """Reading so many tokens of prompts at once, without what they look at each other."""
    weights = products_of(model)
    return Work(width * weights, 2 * tokens * weights, at_once=width * weights)


def writing(
    model: UnifiedLM, rows: int, choosing: int, head: int, before: int, tokens: int, width: int = 4
) -> Work:
    """Writing `tokens` tokens a row, one after the other.

    Each step reads the weights and the head once, and all keys and values that are there.

    Args:
        model: the language model.
        rows: that are read, twins of guidance among them.
        choosing: rows that choose a token.
        head: words or codes that they choose among.
        before: tokens of the prompt, which are there already.
        tokens: written by each row.
        width: bytes of a number.
    """
    config = model.trunk.config
    heads, size = config.num_attention_heads, config.head_dim
    layers, kept = config.num_hidden_layers, 2 * config.num_key_value_heads * size
    weights, last = products_of(model), head * config.hidden_size
    looked = sum(
        before + step for step in range(1, tokens)
    )  # keys, over all steps but the last, which is not read
    moved = (tokens - 1) * weights + tokens * last + rows * layers * kept * looked
    products = (tokens - 1) * rows * weights + tokens * choosing * last
    attention = 2 * rows * layers * heads * size * looked
    return Work(width * moved, 2 * (products + attention), at_once=width * moved / tokens)
