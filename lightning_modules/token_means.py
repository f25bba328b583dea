"""Losses as means per target token, over micro-batches and ranks: sums and counts, by kind of token and by task."""

import torch
from torch import Tensor

from models.language.unified_lm import TASKS, LanguageLoss

KINDS = ("text", "draw")  # of target tokens
SUMS = (
    *(f"loss_{kind}" for kind in KINDS),
    *(f"by_task/{task}" for task in TASKS),
)  # names of the logged means


def token_sums(loss: LanguageLoss) -> Tensor:
    """Sums and counts (2, 6) of SUMS, without gradients."""
    kinds = torch.stack([loss.text, loss.draw, loss.text_tokens, loss.draw_tokens]).detach().float()
    return torch.cat([kinds.view(2, len(KINDS)), loss.by_task], dim=1)


def token_means(prefix: str, sums: Tensor) -> dict[str, float]:
    """Means per token, from sums and counts (2, 6) of SUMS, of those that there are tokens of."""
    rows = zip(SUMS, *sums.tolist(), strict=True)
    return {prefix + name: total / tokens for name, total, tokens in rows if tokens}
