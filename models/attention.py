"""From document ids to the attention mask: causal, never across documents, free inside a seen image."""

from typing import Literal

import torch
from torch import Tensor

Attend = Literal["causal", "image"]


def allowed(
    documents: Tensor, see_blocks: Tensor, attend: Attend = "image", branches: Tensor | None = None
) -> Tensor:
    """Who may look at whom.

    Args:
        documents: (B, L) document of each token, -1 for padding.
        see_blocks: (B, L) See block of each token, -1 outside.
        branches: (B, L) branch of each token within its document, -1 before the branches; None: there are none.
        attend: "image" lets the tokens of one seen image look at each other both ways; "causal" does not.

    Returns:
        (B, L, L) bool, query by key. Padding looks at itself alone, so that no row is empty.
    """
    length = documents.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()  # (L, L)
    same = (documents[:, :, None] == documents[:, None, :]) & (documents[:, :, None] >= 0)  # (B, L, L)
    free = same & causal
    if branches is not None:
        free = free & ((branches[:, None, :] < 0) | (branches[:, :, None] == branches[:, None, :]))
    if attend == "image":
        free = free | (
            (see_blocks[:, :, None] == see_blocks[:, None, :]) & (see_blocks[:, :, None] >= 0) & same
        )
    return free | torch.eye(length, dtype=torch.bool, device=documents.device)


def additive(free: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, Q, K) bool -> (B, 1, Q, K): 0 where a query may look, the dtype's minimum elsewhere."""
    mask = torch.zeros(free.shape, dtype=dtype, device=free.device)
    return mask.masked_fill_(~free, torch.finfo(dtype).min)[:, None]
