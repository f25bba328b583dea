"""The decoder of the pixel tokenizer: the stem of the diffusion detokenizer, trained with its tokenizer."""

import torch
from torch import Tensor

from models.component import Component
from models.detokenizer.diffusion import to_uint8
from models.detokenizer.stem import Stem


class PixelDecoder(Stem, Component):
    """Vectors (B, N, D) of a `PixelTokenizer` to images; sizes are the stem's."""

    stem = None  # it draws the whole image: there is no coarse one beside it

    @torch.no_grad()
    def decode(self, vectors: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Vectors (B, N, D) -> images (B, 3, H, W) uint8. Seeds and steps have no effect."""
        return to_uint8(self(vectors.to(self.rgb.weight.dtype)))
