"""Greedy decoding of text."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from models.language.cache_memory import batch_size
from models.language.fused_decoder import may_copy_weights
from models.language.packed_linear import packed_linear
from models.language.prefill import Prefill
from models.language.unified_lm import UnifiedLM
from models.sequence import Segment

CHECK_EVERY = 8  # tokens, on a device that makes the host wait when asked whether all rows are done


@torch.no_grad()
def generate_tokens(model: UnifiedLM, prompts: Sequence[Segment], limit: int = 64) -> Iterator[Tensor]:
    """Greedy text for each prompt, token by token, up to one that ends it (`model.stop_ids` or `begin_image`).

    Yields:
        (B,) ids; -1 for rows that are done.
    """
    device, text_size = model.vision_head.device, model.vocabulary.text_size
    stops = torch.tensor([*model.stop_ids, model.vocabulary.special("begin_image")], device=device)
    special = stops[stops >= text_size]
    prefill = Prefill(model, prompts)
    decoder, hidden = prefill.decoder(limit), prefill.last
    heads = [model.text_head, model.vision_head[special - text_size]]  # no code can be chosen
    head = packed_linear(heads, [None, None], may_copy_weights(model.trunk))
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for number in range(1, limit + 1):
        best = head(hidden).argmax(-1)
        ids = torch.where(best >= text_size, special[(best - text_size).clamp_min(0)], best)
        yield torch.where(done, -1, ids)
        done |= torch.isin(ids, stops)
        check = device.type == "cpu" or number % CHECK_EVERY == 0
        if number == limit or (check and done.all()):
            return
        hidden = decoder.step(model.embed(ids[:, None])[:, 0])


def generate_text(model: UnifiedLM, prompts: Sequence[Segment], limit: int = 64) -> list[list[int]]:
    """Greedy text for each prompt: its ids, then the one that ends it if that came within `limit`.

    As many rows are decoded at once as memory has room for.
    """
    size = batch_size(model, max(map(len, prompts)), limit)
    rows: list[list[int]] = []
    for first in range(0, len(prompts), size):
        tokens = torch.stack(list(generate_tokens(model, prompts[first : first + size], limit)), 1)
        rows += [[i for i in row if i >= 0] for row in tokens.tolist()]
    return rows
