"""How much of the codebook is in use, counted over so many tokens that an even use would show every code."""

from math import ceil

import torch
from torch import Tensor

from evals.scenes import any_scenes, in_batches, render_all
from models.tokenizer.quantizer import perplexity
from models.unified import Illume

TOKENS_A_CODE = 20  # at least; an even use of the codebook would then miss a code once in 5e8


def codebook(model: Illume, seed: int = 0, batch: int = 100) -> dict[str, float]:
    """`codebook/used` and `codebook/perplexity_share` of all codes, `codebook/perplexity`, `/tokens_per_code`."""
    size = model.tokenizer.codes
    images = render_all(any_scenes(ceil(TOKENS_A_CODE * size / model.encoder.tokens), seed))
    codes = in_batches(lambda rows: model.encode(images[rows]), len(images), batch)  # (B, N)
    return usage(codes, size)


def usage(codes: Tensor, size: int) -> dict[str, float]:
    """The same of codes of any shape, out of a codebook of `size`."""
    counts = torch.bincount(codes.flatten(), minlength=size)  # (size,)
    even = float(perplexity(counts.double()))
    return {
        "codebook/used": float((counts > 0).double().mean()),
        "codebook/perplexity": even,
        "codebook/perplexity_share": even / size,
        "codebook/tokens_per_code": codes.numel() / size,
    }
