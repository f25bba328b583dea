"""Attention of packed documents: causal, never across documents, and bidirectional inside a seen image.

Packed batches carry a document id for each token; borders are never read off position ids, which some caches ignore.
`attention_inputs` alone knows the backends, `mask_function` alone which token attends to which.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.language.families import sliding_window

Attend = Literal["causal", "image"]  # whether tokens of one seen image attend only back, or to each other
Backend = Literal["auto", "mask", "documents", "flex"]
MaskFunction = Callable[[Tensor, Tensor | None, Tensor, Tensor], Tensor]  # row, head, query, key -> bool
MIN_BUCKET_LENGTH = 0.85  # of a bucket's longest document
LONG = 1024  # tokens in a row from which a CPU is faster document by document (docs/decisions/speed.md)
DOCUMENTS = "illume_documents"  # the name under which transformers knows attention document by document


class TokenLayout(NamedTuple):
    """What attention knows of the tokens in each row, (B, L) each, as in `PackedBatch`."""

    documents: Tensor
    see_blocks: Tensor
    positions: Tensor
    branches: Tensor | None = None  # None: there are none
    attend: Attend = "image"


def mask_function(layout: TokenLayout, window: int | None = None) -> MaskFunction:
    """Which query attends to which key, by indices: what `flex_attention` calls a mask_mod.

    Padding attends to itself alone, so that no row is empty. In a sliding layer's window tokens of one seen image attend
    to each other all the same, as in Gemma 3.
    """
    documents, see_blocks, positions, branches, attend = layout

    def attends(row: Tensor, head: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
        document, block = documents[row, query], see_blocks[row, query]
        free = query >= key
        if branches is not None:
            branch = branches[row, key]
            free = free & ((branch < 0) | (branches[row, query] == branch))
        if window is not None:
            free = free & (positions[row, query] - positions[row, key] < window)
        if attend == "image":
            free = free | ((block == see_blocks[row, key]) & (block >= 0))
        return ((document == documents[row, key]) & (document >= 0) & free) | (query == key)

    return attends


def attention_mask(layout: TokenLayout, window: int | None = None, first: int = 0) -> Tensor:
    """(B, Q, L) bool, query by key; the queries are the tokens from number `first` on."""
    rows, length = layout.documents.shape
    numbers = torch.arange(length, device=layout.documents.device)
    row = torch.arange(rows, device=numbers.device)[:, None, None]
    return mask_function(layout, window)(row, None, numbers[first:, None], numbers)


def additive_mask(free: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, Q, K) bool -> (B, 1, Q, K): 0 where a query attends, the dtype's minimum elsewhere."""
    mask = torch.zeros(free.shape, dtype=dtype, device=free.device)
    return mask.masked_fill_(~free, torch.finfo(dtype).min)[:, None]


def masks_by_layer(trunk: PreTrainedModel, mask: Callable[[int | None], Any]) -> Any:
    """`mask` of each window as a trunk takes it: by kind of layer where its config names kinds, else one for all."""
    window = sliding_window(trunk.config)
    sliding = mask(window)
    if getattr(trunk.config, "layer_types", None) is None:
        return sliding
    return {"full_attention": sliding if window is None else mask(None), "sliding_attention": sliding}


class LengthBucket(NamedTuple):
    """Documents of about one length, to be attended to at once."""

    tokens: Tensor  # (G, n) index in the flattened rows; beyond a document's end its last token is repeated
    real: Tensor  # (G, n) what is not beyond the end
    mask: Tensor | None  # (G, n, n) bool, of full layers; None: causal
    sliding_mask: Tensor | None  # the same of sliding layers


def length_buckets(layout: TokenLayout, window: int | None = None) -> list[LengthBucket]:
    """The documents of packed rows, which lie side by side in each, by length; padding belongs to none."""
    found = []
    for row, ids in enumerate(layout.documents.tolist()):
        start = row * len(ids)
        for document, run in groupby(ids):
            length = len(list(run))
            if document >= 0:
                found.append((length, start))
            start += length
    found.sort(reverse=True)
    buckets = []
    while found:
        count = sum(own >= MIN_BUCKET_LENGTH * found[0][0] for own, _ in found)
        buckets.append(_bucket(found[:count], layout, window))
        found = found[count:]
    return buckets


def _bucket(members: list[tuple[int, int]], layout: TokenLayout, window: int | None) -> LengthBucket:
    lengths, starts = torch.tensor(members, device=layout.documents.device).T
    steps = torch.arange(int(lengths[0]), device=lengths.device)
    real = steps < lengths[:, None]  # (G, n)
    index = starts[:, None] + torch.minimum(steps, lengths[:, None] - 1)
    own = TokenLayout(
        torch.where(real, 0, -1),
        layout.see_blocks.flatten()[index],
        layout.positions.flatten()[index],
        None if layout.branches is None else layout.branches.flatten()[index],
        layout.attend,
    )
    causal = own.branches is None or not bool((own.branches >= 0).any())
    causal = causal and (own.attend == "causal" or not bool((own.see_blocks >= 0).any()))
    mask = None if causal and bool(real.all()) else attention_mask(own)
    inside = window is None or int(lengths[0]) <= window  # no document reaches past the window
    return LengthBucket(index, real, mask, mask if inside else attention_mask(own, window))


def check_backend(backend: Backend, config: PretrainedConfig) -> None:
    """Refuses dropout in attention with a backend that knows none."""
    if backend == "flex" and getattr(config, "attention_dropout", None):
        raise ValueError(
            f"backend flex knows no dropout, and the trunk has attention_dropout {config.attention_dropout:g}: "
            "give backend mask, or an attention_dropout of 0"
        )


def attention_inputs(
    trunk: PreTrainedModel, backend: Backend, layout: TokenLayout, dtype: torch.dtype
) -> dict[str, Any]:
    """Sets the trunk's attention; gives the arguments of its forward pass by which no document sees another.

    The backend "documents" runs each document by itself (no work across documents), "mask" gives one dense mask, "flex" a
    BlockMask for `flex_attention` (GPUs; not run on one yet). "auto" takes the first for long rows on a CPU and the
    second elsewhere.
    """
    (rows, length), device = layout.documents.shape, layout.documents.device
    if backend == "documents" or (backend == "auto" and device.type == "cpu" and length >= LONG):
        set_attention(trunk, DOCUMENTS)
        buckets = length_buckets(layout, sliding_window(trunk.config))
        return {"attention_mask": masks_by_layer(trunk, lambda window: None), "buckets": buckets}

    def mask(window: int | None) -> Any:
        if backend != "flex":
            return additive_mask(attention_mask(layout, window), dtype)
        from torch.nn.attention.flex_attention import create_block_mask

        return create_block_mask(mask_function(layout, window), rows, None, length, length, device=device)

    set_attention(trunk, "flex_attention" if backend == "flex" else "sdpa")
    return {"attention_mask": masks_by_layer(trunk, mask)}


def set_attention(trunk: PreTrainedModel, implementation: str) -> None:
    """Sets the trunk's attention, if it is another."""
    if trunk.config._attn_implementation != implementation:
        trunk.set_attn_implementation(implementation)


def _attend_by_document(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    buckets: list[LengthBucket] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention within documents: (B, H, L, D) queries -> (B, L, H, D); padding gives zeros."""
    if buckets is None:  # decoding with a cache: one document a row
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    flat = [heads.transpose(1, 2).flatten(0, 1) for heads in (query, key, value)]  # (B L, H, D)
    out = torch.zeros_like(flat[0])
    for bucket in buckets:
        free = bucket.sliding_mask if options.get("sliding_window") else bucket.mask
        q, k, v = (heads[bucket.tokens].transpose(1, 2) for heads in flat)  # (G, H, n, D)
        mask = None if free is None else free[:, None]
        grouped = key.shape[1] != query.shape[1]
        own = F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal=free is None, scale=scaling, enable_gqa=grouped
        )
        out = out.index_copy(0, bucket.tokens[bucket.real], own.transpose(1, 2)[bucket.real])
    return out.view(query.shape[0], query.shape[2], *out.shape[1:]), None


AttentionInterface.register(DOCUMENTS, _attend_by_document)
AttentionMaskInterface.register(DOCUMENTS, sdpa_mask)
