"""Writing with a cache: image codes under guidance, and words."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from models.attention import additive, allowed, use
from models.language.sampling import choose, guide, uniforms
from models.language.unified_lm import UnifiedLM, image_places
from models.sequence import SEE, TEXT, Segment


class Continuation:
    """A batch of prompts run through the trunk once, to be continued token by token.

    Prompts of different lengths are padded on the left; padding is never looked at and positions are each row's own.

    Args:
        model: the language model.
        prompts: one segment a row.
        features: (S, N, F) features of all See blocks, in order.
    """

    def __init__(self, model: UnifiedLM, prompts: Sequence[Segment], features: Tensor) -> None:
        self.model, device = model, model.vision_head.device
        length = max(len(p) for p in prompts)
        pad = model.vocabulary.special("pad")
        starts = [length - len(p) for p in prompts]

        def rows(name: str, fill: int) -> Tensor:
            return torch.tensor(
                [[fill] * s + list(getattr(p, name)) for s, p in zip(starts, prompts, strict=True)],
                device=device,
            )

        ids, blocks, kinds = rows("ids", pad), rows("see_blocks", -1), rows("kinds", -1)
        self.real = kinds >= 0  # (B, K) keys that may be looked at
        documents = torch.where(self.real, 0, -1)
        self.position = torch.tensor([len(p) for p in prompts], device=device)[
            :, None
        ]  # (B, 1) of the next token
        positions = (
            torch.arange(length, device=device) - torch.tensor(starts, device=device)[:, None]
        ).clamp_min(0)
        self.cache = DynamicCache(config=model.trunk.config)
        places = image_places(self.real & (kinds != TEXT), model.draw_tokens)
        embedded = model.embed(ids, features, kinds == SEE, places)
        free = allowed(documents, blocks, model.attend)
        self.last = self._run(embedded, additive(free, embedded.dtype), positions)

    def _run(self, embedded: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        use(self.model.trunk, "sdpa")
        out = self.model.trunk(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.last_hidden_state[:, -1]  # (B, D)

    def feed(self, ids: Tensor, place: int = -1) -> Tensor:
        """Appends one token (B,) to each row, a code at its place in the image; returns the last hidden state (B, D)."""
        self.real = torch.cat([self.real, torch.ones_like(self.real[:, :1])], 1)
        embedded = self.model.embed(ids[:, None], places=torch.full_like(ids, place)[:, None])
        self.last = self._run(embedded, additive(self.real[:, None], embedded.dtype), self.position)
        self.position = self.position + 1
        return self.last


@torch.no_grad()
def draw_codes(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    features: Tensor,
    null_features: Tensor,
    seeds: list[int],
    cfg: float = 2.0,
    temperature: float = 1.0,
    top_k: int = 0,
) -> Tensor:
    """Writes one image for each prompt that ends in an open Draw.

    Conditional and null rows share each forward pass; only the vision head's code rows are used. With cfg 1 there are
    no null rows at all.

    Returns:
        (B, N) codes.
    """
    guided = cfg != 1.0
    rows = Continuation(
        model,
        [*prompts, *nulls] if guided else prompts,
        torch.cat([features, null_features]) if guided else features,
    )
    noise = uniforms(seeds, model.draw_tokens).to(features.device)
    head = model.vision_head[model.vocabulary.first_code - model.vocabulary.text_size :]  # (K, D)
    hidden, codes = rows.last, []
    for step in range(model.draw_tokens):
        logits = hidden @ head.T
        if guided:
            logits = guide(*logits.chunk(2), cfg)
        codes.append(choose(logits, noise[:, step], temperature, top_k))
        if step + 1 < model.draw_tokens:
            ids = codes[-1] + model.vocabulary.first_code
            hidden = rows.feed(torch.cat([ids, ids]) if guided else ids, step)
    return torch.stack(codes, 1)


@torch.no_grad()
def write_text(
    model: UnifiedLM, prompts: Sequence[Segment], features: Tensor, limit: int = 64
) -> list[list[int]]:
    """Greedy words for each prompt, up to and without the token that ends them (`end` or `begin_image`).

    Returns:
        For each row its text ids, the closing special token last if one came within `limit`.
    """
    special = model.vocabulary.special
    rows = Continuation(model, prompts, features)
    allowed_ids = torch.zeros(model.vocabulary.size, dtype=torch.bool, device=features.device)
    allowed_ids[: model.vocabulary.text_size] = True
    closing = [special("end"), special("begin_image")]
    allowed_ids[closing] = True
    done = torch.zeros(len(prompts), dtype=torch.bool, device=features.device)
    written: list[Tensor] = []
    for _ in range(limit):
        ids = model.logits(rows.last).masked_fill(~allowed_ids, -torch.inf).argmax(-1)
        written.append(torch.where(done, -1, ids))
        done |= (ids[:, None] == torch.tensor(closing, device=ids.device)).any(1)
        if done.all():
            break
        rows.feed(ids)
    return [[i for i in row if i >= 0] for row in torch.stack(written, 1).tolist()]
