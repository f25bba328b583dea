"""The trunks that benchmarks measure: Llamas of a few sizes."""

from typing import Any

SMALL, LARGE = (256, 6, 688), (512, 8, 1376)  # width, layers, width between
SEVEN_B = (4096, 32, 11_008)  # Vicuna-7B's


def llama(width: int, layers: int, between: int, positions: int = 1024) -> dict[str, Any]:
    """The recipe of a trunk, with heads as wide as Llama's own where it is as wide as those."""
    heads = width // (128 if width >= 2048 else 64)
    return {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": between,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": positions,
    }
