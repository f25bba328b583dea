"""Sampling the next token: guidance, temperature, top-k, top-p, and noise that is a sample's own, not its batch's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.generation import NEUTRAL, SamplingConfig

MIN_TEMPERATURE = 1e-6  # of rows that are greedy anyway
BLOCK = 128  # weights that are summed at once, before it is looked which of them is meant


def apply_guidance(conditional: Tensor, unconditional: Tensor, scale: float | Tensor) -> Tensor:
    """Classifier-free guidance: u + s (c - u) (ILLUME+ section 8.5).

    Of logits, of log-probabilities, or of the hidden states before a linear head: all give the same distribution.
    """
    return unconditional + scale * (conditional - unconditional)


def uniform_noise(seeds: list[int], length: int) -> Tensor:
    """(B, length) uniform numbers, a row from its own seed alone."""
    return torch.stack([torch.rand(length, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


class Sampler:
    """Samples a token for each row by its own config. What no row uses costs nothing; nothing asks the device."""

    def __init__(self, settings: Sequence[SamplingConfig], device: torch.device | str = "cpu") -> None:
        rows = [NEUTRAL.override(own) for own in settings]
        temperature = torch.tensor([own.temperature for own in rows], dtype=torch.float32)[:, None]
        top_p = torch.tensor([own.top_p for own in rows], dtype=torch.float32)[:, None]
        top_k, greedy = torch.tensor([own.top_k for own in rows])[:, None], (temperature == 0)[:, 0]
        self.temperature = temperature.clamp_min(MIN_TEMPERATURE).to(device)  # (B, 1)
        self.all_greedy, self.max_k = bool(greedy.all()), int(top_k.max())
        self.greedy = greedy.to(device) if greedy.any() else None  # (B,) rows that take the likeliest
        self.rank = (top_k - 1).clamp_min(0).to(device)  # (B, 1) of the last logit that counts, from 0
        self.without_k = (top_k == 0).to(device)
        self.top_p = top_p.to(device) if bool((top_p < 1).any()) else None

    def __call__(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Samples by inverse CDF: logits (B, V), uniform noise (B,) -> (B,)."""
        if self.all_greedy:
            return logits.argmax(-1)
        scaled = logits.float() / self.temperature
        if self.max_k:
            best = scaled.topk(min(self.max_k, scaled.shape[-1])).values
            last = best.gather(1, self.rank.clamp_max(best.shape[1] - 1))
            scaled = scaled.masked_fill((scaled < last) & ~self.without_k, -torch.inf)
        weights = scaled.softmax(-1)
        if self.top_p is not None:
            weights = _nucleus(weights, self.top_p)
        sampled = sample_inverse_cdf(weights, noise)
        return sampled if self.greedy is None else torch.where(self.greedy, logits.argmax(-1), sampled)


def sample_inverse_cdf(weights: Tensor, noise: Tensor) -> Tensor:
    """The first of the weights (B, V) up to which they sum to more than a share `noise` (B,) of all -> (B,).

    It is searched block by block, for sums are computed side by side, and one running sum of all one by one. What weighs
    nothing is never taken, whatever is rounded.
    """
    blocks = F.pad(weights, (0, -weights.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))  # (B, n, BLOCK)
    sums = blocks.sum(-1)
    upto = sums.cumsum(-1)  # (B, n)
    aim = _below(noise[:, None] * upto[:, -1:], upto[:, -1:])
    block = torch.searchsorted(upto, aim, right=True)  # (B, 1)
    rest = aim - (upto - sums).gather(1, block)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0].cumsum(-1)  # (B, BLOCK)
    offset = torch.searchsorted(inside, _below(rest, inside[:, -1:]), right=True)
    return (block * BLOCK + offset)[:, 0]


def _below(aim: Tensor, total: Tensor) -> Tensor:
    """At least 0, and less than the total."""
    return torch.minimum(aim.clamp_min(0), torch.nextafter(total, torch.zeros_like(total)))


def _nucleus(weights: Tensor, top_p: Tensor) -> Tensor:
    """Only the largest (B, V) that together reach `top_p` (B, 1) of all; the others become 0."""
    largest, order = weights.sort(-1, descending=True)
    before = largest.cumsum(-1) - largest
    kept = before < top_p * largest.sum(-1, keepdim=True)
    return torch.zeros_like(weights).scatter(-1, order, largest * kept)
