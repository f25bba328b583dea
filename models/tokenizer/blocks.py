"""The transformer block that encoder, captioner and feature decoder share."""

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of x over `context` (itself by default)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads is {heads}, which does not divide a width of {width}")
        self.heads = heads
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, D / heads)

    def forward(self, x: Tensor, context: Tensor | None = None, causal: bool = False) -> Tensor:
        """(B, L, D), (B, K, D) -> (B, L, D)."""
        key, value = self.pair(x if context is None else context).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(x)), self._split(key), self._split(value), is_causal=causal
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Pre-norm attention, optional cross-attention, and MLP."""

    def __init__(self, width: int, heads: int, *, cross: bool = False, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width) if cross else None
        self.cross = Attention(width, heads) if cross else None
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, L, D), with a context (B, K, D) where the block has cross-attention."""
        x = x + self.attention(self.attention_norm(x), causal=self.causal)
        if self.cross is not None and self.cross_norm is not None:
            x = x + self.cross(self.cross_norm(x), context)
        return x + self.mlp(self.mlp_norm(x))
