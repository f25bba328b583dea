"""The text decoder that teaches the playground's encoder to see, as OPT-125M teaches UNIT (facts 1.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tokenizer.blocks import TransformerBlock


class Captioner(nn.Module):
    """Writes a caption while looking at features: a small causal decoder with cross-attention.

    Args:
        text_size: text vocabulary.
        width: width of the features and of the decoder.
        layers, heads: depth and attention heads.
        length: longest caption in tokens.
    """

    def __init__(
        self, text_size: int, width: int = 128, layers: int = 2, heads: int = 4, length: int = 64
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(text_size + 1, width)  # the last row begins a caption
        self.positions = nn.Parameter(0.02 * torch.randn(1, length, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, cross=True, causal=True) for _ in range(layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, text_size))

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher-forced logits. features (B, N, D), captions (B, T) -> (B, T, V)."""
        begin = torch.full_like(captions[:, :1], self.embedding.num_embeddings - 1)
        shifted = torch.cat([begin, captions[:, :-1].clamp_min(0)], 1)
        x = self.embedding(shifted) + self.positions[:, : shifted.shape[1]]
        for block in self.blocks:
            x = block(x, features)
        return self.head(x)

    def loss(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over real tokens (padding is -1), and the share predicted right."""
        logits = self(features, captions)
        right = (logits.argmax(-1) == captions)[captions >= 0].float().mean()
        return F.cross_entropy(logits.flatten(0, 1), captions.flatten(), ignore_index=-1), right
