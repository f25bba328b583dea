"""Writing image codes: each distinct prompt is read once, then all rows are written together, one token a step.

Rows without guidance carry no unconditional twin; guidance is applied before the head, of which only the codes' rows
are multiplied; every number a row will need is there before the first step, so the host never waits for the device.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from models.language.bare_trunk import is_small
from models.language.decoding import Continuation
from models.language.products import product
from models.language.sampling import Choice, guide, uniforms
from models.language.unified_lm import UnifiedLM
from models.sequence import SEE, Segment

Numbers = float | Sequence[float] | Tensor


@torch.no_grad()
def draw_codes(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    features: Tensor,
    null_features: Tensor,
    seeds: list[int],
    cfg: Numbers = 2.0,
    temperature: Numbers = 1.0,
    top_k: int | Sequence[int] | Tensor = 0,
    top_p: Numbers = 1.0,
    bare: bool = True,
) -> Tensor:
    """Writes one image for each prompt that ends in an open Draw.

    Args:
        model: the language model.
        prompts: a segment for each of B rows.
        nulls: as many, without what they ask for.
        features: (S, N, F) of the prompts' See blocks, in order.
        null_features: the same of the nulls.
        seeds: of the rows; each fixes its row's noise, whatever the batch around it.
        cfg: guidance; one number, (B,) one a row, or (B, N) one for each token, which is a schedule. 1 is none.
        temperature: one number, or one for each row; 0 takes the best.
        top_k: the same; 0 leaves all codes.
        top_p: the same; 1 leaves all codes.
        bare: whether a trunk that allows it is run without its modules (`bare_trunk.py`), and products are laid out anew.

    Returns:
        (B, N) codes.

    Raises:
        ValueError: a setting is out of range, or not as long as there are rows.
    """
    device, tokens = features.device, model.draw_tokens
    scale = _schedule(cfg, len(prompts), tokens)
    guided = [i for i, row in enumerate((scale != 1).any(1).tolist()) if row]
    choice = Choice.of(len(prompts), temperature, top_k, top_p, device)
    noise = uniforms(seeds, tokens).to(device)
    asked = [*prompts, *(nulls[i] for i in guided)]
    seen = [*_apart(prompts, features)]
    without = _apart(nulls, null_features)
    seen += [without[i] for i in guided]
    first, rows = _distinct(asked)
    begun = Continuation(model, [asked[i] for i in first], torch.cat([seen[i] for i in first]))
    begun.select(torch.tensor(rows, device=device))
    read = begun.reader(tokens, bare)
    mix = _Mix(len(prompts), guided, scale, device)
    codes_rows = model.vision_head[model.vocabulary.first_code - model.vocabulary.text_size :]  # (K, D)
    head = product([codes_rows], [None], bare and is_small(model.trunk))
    hidden, codes = begun.last, []
    for step in range(tokens):
        codes.append(choice(head(mix.guided(hidden, step)), noise[:, step]))
        if step + 1 < tokens:
            hidden = read(model.embed_codes(mix.with_twins(codes[-1]), step))
    return torch.stack(codes, 1)


def _schedule(cfg: Numbers, rows: int, tokens: int) -> Tensor:
    """Guidance (B, N) of each row and token."""
    scale = torch.as_tensor(cfg, dtype=torch.float32, device="cpu")
    if tuple(scale.shape) not in ((), (rows,), (rows, tokens)):
        raise ValueError(
            f"cfg has the shape {tuple(scale.shape)}: give one number, {rows}, or {rows} x {tokens}"
        )
    return (scale[:, None] if scale.ndim == 1 else scale).expand(rows, tokens)


def _apart(segments: Sequence[Segment], features: Tensor) -> tuple[Tensor, ...]:
    """Features of each segment's own See blocks."""
    return features.split([sum(use == SEE for use in s.image_uses) for s in segments])


def _distinct(segments: Sequence[Segment]) -> tuple[list[int], list[int]]:
    """The first segment of each kind, and for every segment which of these it is. What shows an image is its own kind."""
    kinds: dict[Hashable, int] = {}
    first, rows = [], []
    for i, segment in enumerate(segments):
        own = id(segment) if SEE in segment.image_uses else tuple(segment.ids)
        if own not in kinds:
            kinds[own] = len(first)
            first.append(i)
        rows.append(kinds[own])
    return first, rows


class _Mix:
    """Lays the rows that have a twin over it: B rows stand first, then the twins of some of them."""

    def __init__(self, rows: int, guided: list[int], scale: Tensor, device: torch.device) -> None:
        self.rows, self.all = rows, len(guided) == rows
        self.which = torch.tensor(guided, device=device) if guided else None
        self.scale = scale[guided].T[..., None].to(device)  # (N, G, 1)

    def guided(self, hidden: Tensor, step: int) -> Tensor:
        """(B + G, D) -> (B, D)."""
        if self.which is None:
            return hidden
        own, twins = hidden[: self.rows], hidden[self.rows :]
        scale = self.scale[step].to(hidden.dtype)
        if self.all:
            return guide(own, twins, scale)
        return own.index_copy(0, self.which, guide(own[self.which], twins, scale))

    def with_twins(self, codes: Tensor) -> Tensor:
        """(B,) -> (B + G,): a twin reads what its row wrote."""
        if self.which is None:
            return codes
        return torch.cat([codes, codes if self.all else codes[self.which]])
