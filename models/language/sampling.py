"""Choosing the next token: guidance, temperature, top-k, and noise that belongs to a sample and not to its batch."""

import torch
from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance on log-probabilities: u + s (c - u). (B, V) each (ILLUME+ section 8.5)."""
    c, u = conditional.log_softmax(-1), unconditional.log_softmax(-1)
    return u + scale * (c - u)


def uniforms(seeds: list[int], length: int) -> Tensor:
    """(B, length) uniform numbers, a row from its own seed alone."""
    return torch.stack([torch.rand(length, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def choose(logits: Tensor, noise: Tensor, temperature: float = 1.0, top_k: int = 0) -> Tensor:
    """Samples by inverse CDF: logits (B, V), noise (B,) -> (B,). Temperature 0 takes the best."""
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
    cumulative = logits.softmax(-1).cumsum(-1)
    drawn = torch.searchsorted(cumulative, noise[:, None].to(cumulative) * cumulative[:, -1:], right=True)
    return drawn[:, 0].clamp_max(logits.shape[-1] - 1)
