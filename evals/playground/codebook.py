"""Codebook usage, counted over so many tokens that uniform use would show every code."""

import numpy as np
import torch
from torch import Tensor

from judges.pixels import render_scenes
from models.tokenizer.quantizer import perplexity
from models.unified import Illume
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES

BATCH = 100
TOKENS_PER_CODE = 20  # at least, of those counted


def codebook_scores(model: Illume, seed: int = 0) -> dict[str, float]:
    """Codes used and perplexity, over at least 20 tokens per code of scenes held out and not."""
    images = -(-TOKENS_PER_CODE * model.tokenizer.codes // model.tokenizer.tokens)
    rng = np.random.default_rng([seed, 55])
    kinds = (*CATEGORIES, "mixed")
    scenes = [sample_scene(rng, kinds[i % len(kinds)], held_out=None) for i in range(images)]
    codes = torch.cat([model.encode(render_scenes(scenes[i : i + BATCH])) for i in range(0, images, BATCH)])
    return codebook_usage(codes, model.tokenizer.codes)


def codebook_usage(codes: Tensor, size: int) -> dict[str, float]:
    """Usage of a codebook of `size` by codes of any shape."""
    counts = torch.bincount(codes.flatten(), minlength=size).double()  # (size,)
    effective = float(perplexity(counts))
    return {
        "codebook/used": float((counts > 0).double().mean()),
        "codebook/perplexity": effective,
        "codebook/perplexity_share": effective / size,
        "codebook/tokens_counted": float(codes.numel()),
    }
