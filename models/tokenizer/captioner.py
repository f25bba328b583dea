"""The text decoder that trains the playground's encoder, as OPT-125M trains UNIT (arXiv 2409.04095)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tokenizer.blocks import TransformerBlock


class Captioner(nn.Module):
    """A small causal decoder with cross-attention to features of its width; captions have up to `length` tokens."""

    def __init__(
        self, text_size: int, width: int = 128, layers: int = 2, heads: int = 4, length: int = 64
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(text_size + 1, width)  # the last row begins a caption
        self.positions = nn.Parameter(0.02 * torch.randn(1, length, width))
        blocks = (TransformerBlock(width, heads, cross=True, causal=True) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
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
        """Mean cross-entropy over the tokens of captions (B, T), padded by -1, and their accuracy."""
        logits = self(features, captions)
        real = captions >= 0
        accuracy = ((logits.argmax(-1) == captions) & real).sum() / real.sum()
        return F.cross_entropy(logits.flatten(0, 1), captions.flatten(), ignore_index=-1), accuracy
