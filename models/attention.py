"""From document ids to what an attention backend wants: causal, never across documents, free inside a seen image.

Packed batches carry a document id for each token; borders are never read off position ids, which some caches ignore.
`attention_inputs` is the one place that knows the backends.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.language.families import sliding_window

Attend = Literal["causal", "image"]
Backend = Literal["auto", "mask", "documents", "flex"]
ALIKE = 0.85  # of the longest: what shares a group with it
LONG = 1024  # tokens in a row from which a CPU is faster document by document (docs/decisions/)
DOCUMENTS = "illume_documents"  # the name under which transformers knows attention document by document


def attention_mask(
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend = "image",
    branches: Tensor | None = None,
    near: Tensor | None = None,
) -> Tensor:
    """Who may look at whom.

    Args:
        documents: (B, L) document of each token, -1 for padding.
        see_blocks: (B, L) See block of each token, -1 outside.
        branches: (B, L) branch of each token within its document, -1 before the branches; None: there are none.
        attend: "image" lets the tokens of one seen image look at each other both ways; "causal" does not.
        near: (B, L, L) which keys are inside a sliding layer's window, as `within` gives them; None: it is no such layer.
            Tokens of one seen image look at each other all the same, as in Gemma 3.

    Returns:
        (B, L, L) bool, query by key. Padding looks at itself alone, so that no row is empty.
    """
    length = documents.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()  # (L, L)
    same = (documents[:, :, None] == documents[:, None, :]) & (documents[:, :, None] >= 0)  # (B, L, L)
    free = same & causal
    if branches is not None:
        free = free & ((branches[:, None, :] < 0) | (branches[:, :, None] == branches[:, None, :]))
    if near is not None:
        free = free & near
    if attend == "image":
        free = free | (
            (see_blocks[:, :, None] == see_blocks[:, None, :]) & (see_blocks[:, :, None] >= 0) & same
        )
    return free | torch.eye(length, dtype=torch.bool, device=documents.device)


def within(positions: Tensor, keys: Tensor, window: int) -> Tensor:
    """Positions (B, Q) and (B, K) -> (B, Q, K) whether a key is among the `window` last tokens of a query."""
    return positions[:, :, None] - keys[:, None, :] < window


def masks_by_layer(trunk: nn.Module, mask: Any, near: Any) -> Any:
    """The masks as a trunk takes them: by kind of layer, where its config names kinds; else one that all layers share."""
    if getattr(trunk.config, "layer_types", None) is not None:
        return {"full_attention": mask, "sliding_attention": near}
    return mask if sliding_window(trunk.config) is None else near


def additive_mask(free: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, Q, K) bool -> (B, 1, Q, K): 0 where a query may look, the dtype's minimum elsewhere."""
    mask = torch.zeros(free.shape, dtype=dtype, device=free.device)
    return mask.masked_fill_(~free, torch.finfo(dtype).min)[:, None]


class Group(NamedTuple):
    """Documents of about one length, to be attended to at once.

    Attributes:
        index: (G, n) where their tokens stand in the flattened rows; what is beyond a document's end repeats its last.
        real: (G, n) what is not beyond the end.
        free: (G, n, n) who may look at whom; None: all that came before.
        near: the same in sliding layers.
    """

    index: Tensor
    real: Tensor
    free: Tensor | None
    near: Tensor | None


def length_buckets(
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend = "image",
    branches: Tensor | None = None,
    positions: Tensor | None = None,
    width: int | None = None,
) -> list[Group]:
    """The documents of packed rows, which lie side by side in each, by length; padding belongs to none.

    Args:
        documents: as in `attention_mask`.
        see_blocks: as in `attention_mask`.
        attend: as in `attention_mask`.
        branches: as in `attention_mask`.
        positions: (B, L) of the tokens in their documents.
        width: of the window of sliding layers; None: there are none.
    """
    length = documents.shape[1]
    found = []
    for row, ids in enumerate(documents.tolist()):
        start = 0
        for stop in range(1, length + 1):
            if stop < length and ids[stop] == ids[start]:
                continue
            if ids[start] >= 0:
                found.append((stop - start, row * length + start))
            start = stop
    found.sort(reverse=True)
    made: list[Group] = []
    while found:
        longest = found[0][0]
        count = sum(own >= ALIKE * longest for own, _ in found)
        made.append(_group(found[:count], documents, see_blocks, attend, branches, positions, width))
        found = found[count:]
    return made


def _group(
    members: list[tuple[int, int]],
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend,
    branches: Tensor | None,
    positions: Tensor | None,
    width: int | None,
) -> Group:
    lengths, starts = torch.tensor(members, device=documents.device).T
    steps = torch.arange(int(lengths[0]), device=documents.device)
    real = steps < lengths[:, None]  # (G, n)
    index = starts[:, None] + torch.minimum(steps, lengths[:, None] - 1)
    blocks = see_blocks.flatten()[index]
    own = None if branches is None else branches.flatten()[index]
    special = (attend == "image" and bool((blocks >= 0).any())) or (
        own is not None and bool((own >= 0).any())
    )
    about = (torch.where(real, 0, -1), blocks, attend, own)
    free = None if not special and bool(real.all()) else attention_mask(*about)
    if width is None or int(lengths[0]) <= width:  # no document reaches past the window
        return Group(index, real, free, free)
    own_positions = positions.flatten()[index]
    return Group(index, real, free, attention_mask(*about, within(own_positions, own_positions, width)))


def check_backend(backend: Backend, config: PretrainedConfig) -> None:
    """Makes sure that a backend can train a trunk.

    Raises:
        ValueError: the trunk wants dropout in attention, and the backend knows none.
    """
    if backend == "flex" and getattr(config, "attention_dropout", 0.0):
        raise ValueError(
            f"backend flex knows no dropout, and the trunk has attention_dropout {config.attention_dropout:g}: "
            "give backend mask, or an attention_dropout of 0"
        )


def attention_inputs(
    trunk: nn.Module,
    backend: Backend,
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend,
    branches: Tensor | None,
    positions: Tensor,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """What the trunk's forward pass takes, beside its embeddings and positions, so that no document sees another.

    Args:
        trunk: the Hugging Face model, whose attention is set to what the backend needs.
        backend: "documents" runs each document by itself (no work across documents), "mask" gives one dense mask, "flex"
            a BlockMask for `flex_attention` (GPUs; not run on one yet); "auto" takes the first for long rows on a CPU
            and the second elsewhere.
        documents: as in `attention_mask`.
        see_blocks: as in `attention_mask`.
        attend: as in `attention_mask`.
        branches: as in `attention_mask`.
        positions: (B, L) of the tokens in their documents, for layers that look back over a window of them.
        dtype: of the mask.
    """
    width = sliding_window(trunk.config)
    long = documents.device.type == "cpu" and documents.shape[1] >= LONG
    chosen = ("documents" if long else "mask") if backend == "auto" else backend
    about = (documents, see_blocks, attend, branches)
    if chosen == "documents":
        use(trunk, DOCUMENTS)
        made = length_buckets(*about, positions, width)
        return {"attention_mask": masks_by_layer(trunk, None, None), "length_buckets": made}
    if chosen == "flex":
        use(trunk, "flex_attention")
        whole = _block_mask(*about)
        near = whole if width is None else _block_mask(*about, positions, width)
        return {"attention_mask": masks_by_layer(trunk, whole, near)}
    use(trunk, "sdpa")
    whole = near = additive_mask(attention_mask(*about), dtype)
    if width is not None:
        near = additive_mask(attention_mask(*about, within(positions, positions, width)), dtype)
    return {"attention_mask": masks_by_layer(trunk, whole, near)}


def use(trunk: nn.Module, implementation: str) -> None:
    """Sets the trunk's attention, if it is another."""
    if trunk.config._attn_implementation != implementation:
        trunk.set_attn_implementation(implementation)


def _block_mask(
    documents: Tensor,
    see_blocks: Tensor,
    attend: Attend,
    branches: Tensor | None,
    positions: Tensor | None = None,
    width: int | None = None,
) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    branch = torch.full_like(documents, -1) if branches is None else branches

    def look(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = (documents[row, query] == documents[row, key]) & (documents[row, query] >= 0)
        free = (query >= key) & ((branch[row, key] < 0) | (branch[row, query] == branch[row, key]))
        if width is not None:
            free = free & (positions[row, query] - positions[row, key] < width)
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
    length_buckets: list[Group] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention within documents: (B, H, L, D) queries -> (B, L, H, D); padding gives zeros."""
    if length_buckets is None:  # writing with a cache: one document a row
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]  # (B L, H, D)
    out = torch.zeros_like(flat[0])
    for index, real, whole, near in length_buckets:
        free = near if options.get("sliding_window") else whole
        q, k, v = (part[index].transpose(1, 2) for part in flat)  # (G, H, n, D)
        mask = None if free is None else free[:, None]
        many = key.shape[1] != query.shape[1]
        own = F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal=free is None, scale=scaling, enable_gqa=many
        )
        out = out.index_copy(0, index[real], own.transpose(1, 2)[real])
    return out.view(query.shape[0], query.shape[2], *out.shape[1:]), None


AttentionInterface.register(DOCUMENTS, _by_document)
AttentionMaskInterface.register(DOCUMENTS, sdpa_mask)
