"""A stand-in for a model: paints each prompt and seed in noise of its own, and can be interrupted at any image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from evals.drawn_folder import ImageRequest
from models.generation import SamplingConfig

RECORD = {"model": "abc", "seed": 2, "cfg": 1.25, "temperature": 0.6, "top_k": 0, "top_p": 1.0}


class Painter:
    """Records the seed of every image; raises when it is asked for more than `limit`."""

    def __init__(self, limit: int = 10**9) -> None:
        self.limit, self.seeds = limit, []

    def draw(self, requests: Sequence[ImageRequest]) -> Tensor:
        """Images of requests, by the settings of `RECORD`."""
        sampling = SamplingConfig(cfg=RECORD["cfg"])
        return self.draw_batch([r.source for r in requests], [r.seed for r in requests], sampling)

    def draw_batch(self, prompts: Sequence[str], seeds: list[int], sampling: SamplingConfig) -> Tensor:
        """Images (B, 3, 16, 16) that depend on prompt, seed and settings."""
        if len(self.seeds) + len(seeds) > self.limit:
            raise KeyboardInterrupt
        self.seeds += seeds
        noise = [
            torch.Generator().manual_seed(hash((len(p), s, sampling.cfg)) % 2**31)
            for p, s in zip(prompts, seeds, strict=True)
        ]
        return torch.stack(
            [torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=g) for g in noise]
        )
