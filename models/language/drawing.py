"""Writing image codes: each distinct prompt is read once, then all rows are written together, one token a step.

Rows without guidance carry no unconditional twin; guidance is applied before the head, of which only the codes' rows
are multiplied; every number a row will need is there before the first step, so the host never waits for the device.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.generation import NEUTRAL, SamplingConfig, check_top_k, checked
from models.language.cache_memory import drawings_at_once
from models.language.cuda_graph_decoder import CudaGraphDecoder, repeat
from models.language.decoding import Prefill
from models.language.fused_decoder import can_fuse, may_copy_weights
from models.language.packed_linear import Product, product
from models.language.sampling import Sampler, apply_guidance, uniform_noise
from models.language.unified_lm import UnifiedLM, at
from models.sequence import SEE, Segment


@torch.no_grad()
def draw_codes(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    features: Tensor,
    null_features: Tensor,
    seeds: list[int],
    sampling: SamplingConfig | Sequence[SamplingConfig] = NEUTRAL,
    schedule: Tensor | None = None,
    bare: bool = True,
    fixed: bool | None = None,
) -> Tensor:
    """Writes one image for each prompt that ends in an open Draw, as many at once as memory has room for.

    Args:
        model: the language model.
        prompts: a segment for each of B rows.
        nulls: as many, without what they ask for.
        features: (S, N, F) of the prompts' See blocks, in order.
        null_features: the same of the nulls.
        seeds: of the rows; each fixes its row's noise, whatever the batch around it.
        sampling: of all rows, or one for each; what is None is neutral.
        schedule: (B, N) guidance of each row and token, in place of the sampling's.
        bare: whether a trunk that allows it is run without its modules (`bare_trunk.py`), and products are laid out anew.
        fixed: whether a bare trunk's steps all have one shape (`fixed_trunk.py`); None: they have on a CUDA device.

    Returns:
        (B, N) codes.

    Raises:
        ValueError: a setting is out of range, or not as long as there are rows.
    """
    rows = len(prompts)
    settings = [sampling] * rows if isinstance(sampling, SamplingConfig) else list(sampling)
    if len(settings) != rows:
        raise ValueError(f"{len(settings)} sampling settings: give one, or one for each of {rows} rows")
    settings = [NEUTRAL.override(own) for own in settings]
    check_top_k(max(own.top_k or 0 for own in settings), model.vocabulary.codes)
    scale = _schedule(settings, schedule, model.draw_tokens)
    longest = max(map(len, (*prompts, *nulls)))
    most = drawings_at_once(model, longest, bool((scale != 1).any()))
    apart = _apart(prompts, features), _apart(nulls, null_features)
    codes = []
    for part in (slice(first, first + most) for first in range(0, rows, most)):
        seen = [torch.cat(each[part]) for each in apart]
        own = prompts[part], nulls[part], *seen, seeds[part], scale[part], settings[part]
        codes.append(_draw_at_once(model, *own, bare, fixed))
    return torch.cat(codes)


def _draw_at_once(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    features: Tensor,
    null_features: Tensor,
    seeds: list[int],
    scale: Tensor,
    settings: list[SamplingConfig],
    bare: bool,
    fixed: bool | None,
) -> Tensor:
    """Codes (B, N) of prompts that have room beside each other, guided by `scale` (B, N)."""
    device, tokens = features.device, model.draw_tokens
    guided = [i for i, row in enumerate((scale != 1).any(1).tolist()) if row]
    choice = Sampler.of(settings, device)
    noise = uniform_noise(seeds, tokens).to(device)
    asked = [*prompts, *(nulls[i] for i in guided)]
    seen = [*_apart(prompts, features)]
    without = _apart(nulls, null_features)
    seen += [without[i] for i in guided]
    first, rows = _distinct(asked)
    begun = Prefill(model, [asked[i] for i in first], torch.cat([seen[i] for i in first]))
    begun.select(torch.tensor(rows, device=device))
    codes_rows = model.vision_head[model.vocabulary.first_code - model.vocabulary.text_size :]  # (K, D)
    head = product([codes_rows], [None], bare and may_copy_weights(model.trunk))
    loop = _Loop(model, _Mix(len(prompts), guided, scale, device), head, choice, noise)
    if bare and can_fuse(model.trunk) and (device.type == "cuda" if fixed is None else fixed):
        return loop.run_fixed(begun.last, begun.bare_trunk(CudaGraphDecoder, tokens))
    return loop.run(begun.last, begun.reader(tokens, bare))


def _schedule(settings: list[SamplingConfig], schedule: Tensor | None, tokens: int) -> Tensor:
    """Guidance (B, N) of each row and token."""
    if schedule is None:
        return torch.tensor([own.cfg for own in settings], dtype=torch.float32)[:, None].expand(-1, tokens)
    if tuple(schedule.shape) != (len(settings), tokens):
        shape = tuple(schedule.shape)
        raise ValueError(f"the schedule of cfg has the shape {shape}: give {len(settings)} x {tokens}")
    for number in schedule.unique().tolist():
        checked("cfg", number)
    return schedule.float().cpu()


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


@dataclass(frozen=True)
class _Loop:
    """Chooses a code, reads it, and so on.

    Attributes:
        noise: (B, N) uniform numbers.
    """

    model: UnifiedLM
    mix: "_Mix"
    head: Product
    choice: Sampler
    noise: Tensor

    def run(self, hidden: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Codes (B, N), from the prompts' last hidden states (B + G, D)."""
        codes = []
        for step in range(self.noise.shape[1]):
            if step:
                hidden = read(self.model.embed_codes(self.mix.with_twins(codes[-1]), step - 1))
            codes.append(self._choose(hidden, step, self.noise[:, step]))
        return torch.stack(codes, 1)

    def run_fixed(self, hidden: Tensor, trunk: CudaGraphDecoder) -> Tensor:
        """The same, by steps that change nothing but tensors in place."""
        hidden, place = hidden.clone(), trunk.at
        codes = torch.zeros(self.noise.shape, dtype=torch.long, device=hidden.device)

        def choose() -> Tensor:
            chosen = self._choose(hidden, place, self.noise.index_select(1, place)[:, 0])
            codes.index_copy_(1, place, chosen[:, None])
            return chosen

        def step() -> None:
            embedded = self.model.embed_codes(self.mix.with_twins(choose()), place)
            hidden.copy_(trunk.step(embedded))

        repeat(step, codes.shape[1] - 1, hidden.device)
        choose()
        return codes

    def _choose(self, hidden: Tensor, step: int | Tensor, noise: Tensor) -> Tensor:
        return self.choice(self.head(self.mix.guided(hidden, step)), noise)


class _Mix:
    """Lays the rows that have a twin over it: B rows stand first, then the twins of some of them."""

    def __init__(self, rows: int, guided: list[int], scale: Tensor, device: torch.device) -> None:
        self.rows, self.all = rows, len(guided) == rows
        self.which = torch.tensor(guided, device=device) if guided else None
        self.scale = scale[guided].T[..., None].to(device)  # (N, G, 1)

    def guided(self, hidden: Tensor, step: int | Tensor) -> Tensor:
        """(B + G, D) -> (B, D)."""
        if self.which is None:
            return hidden
        own, twins = hidden[: self.rows], hidden[self.rows :]
        scale = at(self.scale, step).to(hidden.dtype)
        if self.all:
            return apply_guidance(own, twins, scale)
        return own.index_copy(0, self.which, apply_guidance(own[self.which], twins, scale))

    def with_twins(self, codes: Tensor) -> Tensor:
        """(B,) -> (B + G,): a twin reads what its row wrote."""
        if self.which is None:
            return codes
        return torch.cat([codes, codes if self.all else codes[self.which]])
