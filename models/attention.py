"""From document ids to what an attention backend wants: causal, never across documents, free inside a seen image.

Packed batches carry a document id for each token; borders are never read off position ids, which some caches ignore.
`attention_inputs` is the one place that knows the backends.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

Attend = Literal["causal", "image"]
Backend = Literal["auto", "mask", "documents", "flex"]
LONG = 1024  # tokens in a row from which a CPU is faster document by document (docs/decisions.md)
DOCUMENTS = "illume_documents"  # the name under which transformers knows attention document by document


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


class Span(NamedTuple):
    """One document: its row, where it begins and ends there, and who may look at whom (None: all that came before)."""

    row: int
    start: int
    stop: int
    free: Tensor | None


def spans(
    documents: Tensor, see_blocks: Tensor, attend: Attend = "image", branches: Tensor | None = None
) -> list[Span]:
    """The documents of packed rows, which lie side by side in each; padding belongs to none."""
    found = []
    for row, ids in enumerate(documents.tolist()):
        start = 0
        for stop in range(1, len(ids) + 1):
            if stop < len(ids) and ids[stop] == ids[start]:
                continue
            if ids[start] >= 0:
                part = (slice(row, row + 1), slice(start, stop))
                special = (attend == "image" and bool((see_blocks[part] >= 0).any())) or (
                    branches is not None and bool((branches[part] >= 0).any())
                )
                own = None if branches is None else branches[part]
                free = allowed(documents[part], see_blocks[part], attend, own) if special else None
                found.append(Span(row, start, stop, free))
            start = stop
    return found


def attention_inputs(
    trunk: nn.Module,
    backend: Backend,
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend,
    branches: Tensor | None,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """What the trunk's forward pass takes, beside its embeddings and positions, so that no document sees another.

    Args:
        trunk: the Hugging Face model, whose attention is set to what the backend needs.
        backend: "documents" runs each document by itself (no work across documents), "mask" gives one dense mask, "flex"
            a BlockMask for `flex_attention` (GPUs; not run on one yet); "auto" takes the first for long rows on a CPU
            and the second elsewhere.
        documents: as in `allowed`.
        see_blocks: as in `allowed`.
        attend: as in `allowed`.
        branches: as in `allowed`.
        dtype: of the mask.
    """
    long = documents.device.type == "cpu" and documents.shape[1] >= LONG
    chosen = ("documents" if long else "mask") if backend == "auto" else backend
    if chosen == "documents":
        use(trunk, DOCUMENTS)
        return {"attention_mask": None, "spans": spans(documents, see_blocks, attend, branches)}
    if chosen == "flex":
        use(trunk, "flex_attention")
        return {"attention_mask": _block_mask(documents, see_blocks, attend, branches)}
    use(trunk, "sdpa")
    return {"attention_mask": additive(allowed(documents, see_blocks, attend, branches), dtype)}


def use(trunk: nn.Module, implementation: str) -> None:
    """Sets the trunk's attention, if it is another."""
    if trunk.config._attn_implementation != implementation:
        trunk.set_attn_implementation(implementation)


def _block_mask(documents: Tensor, see_blocks: Tensor, attend: Attend, branches: Tensor | None) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    branch = torch.full_like(documents, -1) if branches is None else branches

    def look(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = (documents[row, query] == documents[row, key]) & (documents[row, query] >= 0)
        free = (query >= key) & ((branch[row, key] < 0) | (branch[row, query] == branch[row, key]))
        if attend == "image":
            free = free | ((see_blocks[row, query] == see_blocks[row, key]) & (see_blocks[row, query] >= 0))
        return (same & free) | (query == key)

    rows, length = documents.shape
    return create_block_mask(look, rows, None, length, length, device=documents.device)


def _by_document(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    spans: list[Span] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of each document by itself: (B, H, L, D) queries -> (B, L, H, D); padding gives zeros."""
    if spans is None:  # writing with a cache: one document a row
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    rows: list[list[Tensor]] = [[] for _ in query]
    ends = [0] * len(query)
    for row, start, stop, free in spans:
        q, k, v = (part[row : row + 1, :, start:stop] for part in (query, key, value))
        mask = None if free is None else free[:, None]
        own = F.scaled_dot_product_attention(
            q,
            k,
            v,
            mask,
            dropout,
            is_causal=free is None,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        rows[row].append(own)
        ends[row] = stop
    length = query.shape[2]
    padded = [
        torch.cat([*parts, query.new_zeros(1, query.shape[1], length - end, query.shape[3])], 2)
        for parts, end in zip(rows, ends, strict=True)
    ]
    return torch.cat(padded).transpose(1, 2), None


AttentionInterface.register(DOCUMENTS, _by_document)
AttentionMaskInterface.register(DOCUMENTS, sdpa_mask)
