"""A stand-in for a model: paints each prompt and seed in a colour of its own, and can be killed at any image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.generation import SamplingConfig


class Painter:
    """Notes the seed of every image; raises when it is asked for more than `most`."""

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.seeds = most, []

    def draw_batch(self, prompts: Sequence[str], seeds: list[int], sampling: SamplingConfig) -> Tensor:
        """Images (B, 3, 16, 16) that depend on prompt, seed and settings."""
        if len(self.seeds) + len(seeds) > self.most:
            raise KeyboardInterrupt
        self.seeds += seeds
        noise = [
            torch.Generator().manual_seed(hash((len(p), s, sampling.cfg)) % 2**31)
            for p, s in zip(prompts, seeds, strict=True)
        ]
        return torch.stack(
            [torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=g) for g in noise]
        )
