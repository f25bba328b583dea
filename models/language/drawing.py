"""Drawing image codes: prefill, then a decode loop of guidance, sampling and one trunk step, all rows together.

Rows without guidance carry no unconditional row; guidance is applied before the head, of which only the codes' rows
are multiplied; every number a row will need is there before the first step, so the host never waits for the device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.generation import NEUTRAL, SamplingConfig, check_setting, check_top_k
from models.language.cache_memory import batch_size
from models.language.cuda_graph_decoder import CudaGraphDecoder, repeat
from models.language.fused_decoder import may_copy_weights
from models.language.packed_linear import packed_linear
from models.language.prefill import Prefill
from models.language.sampling import Sampler, apply_guidance, uniform_noise
from models.language.unified_lm import UnifiedLM
from models.sequence import Segment


@torch.no_grad()
def draw_codes(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    seeds: list[int],
    sampling: SamplingConfig | Sequence[SamplingConfig] = NEUTRAL,
    schedule: Tensor | None = None,
    fused: bool = True,
    cuda_graph: bool | None = None,
) -> Tensor:
    """Codes (B, N) of an image for each prompt that ends in an open Draw, as many at once as memory has room for.

    Args:
        model: the language model.
        prompts: a segment for each of B rows, with the features of what it sees (`Illume.encode_seen`).
        nulls: the null prompts, as many.
        seeds: of the rows; each fixes its row's noise, whatever the batch around it.
        sampling: of all rows, or one for each; what is None is neutral.
        schedule: (B, N) guidance of each row and token, in place of the sampling's.
        fused: whether a trunk that allows it runs without its modules (`fused_decoder.py`), and products are packed.
        cuda_graph: whether a fused trunk's steps have fixed shapes (`cuda_graph_decoder.py`); None: on a CUDA device.

    Raises:
        ValueError: a setting is out of range, or not as long as there are rows.
    """
    rows = len(prompts)
    settings = [sampling] * rows if isinstance(sampling, SamplingConfig) else list(sampling)
    if len(settings) != rows:
        raise ValueError(f"{len(settings)} sampling settings: give one, or one for each of {rows} rows")
    settings = [NEUTRAL.override(own) for own in settings]
    check_top_k(max(own.top_k or 0 for own in settings), model.vocabulary.codes)
    scale = _guidance_scale(settings, schedule, model.draw_tokens)
    longest, rows_each = max(map(len, (*prompts, *nulls))), 2 if bool((scale != 1).any()) else 1
    size = batch_size(model, longest, model.draw_tokens, rows_each)
    codes = []
    for batch in (slice(first, first + size) for first in range(0, rows, size)):
        of_rows = prompts[batch], nulls[batch], seeds[batch], settings[batch], scale[batch]
        codes.append(_draw_batch(model, *of_rows, fused, cuda_graph))
    return torch.cat(codes)


def _draw_batch(
    model: UnifiedLM,
    prompts: Sequence[Segment],
    nulls: Sequence[Segment],
    seeds: list[int],
    settings: list[SamplingConfig],
    scale: Tensor,
    fused: bool,
    cuda_graph: bool | None,
) -> Tensor:
    """Codes (B, N) of prompts that have room beside each other, guided by `scale` (B, N)."""
    device, tokens = model.vision_head.device, model.draw_tokens
    guidance, sampler = Guidance(scale, device), Sampler(settings, device)
    noise = uniform_noise(seeds, tokens).T.to(device)  # (N, B)
    head = packed_linear(
        [model.vision_head[-model.vocabulary.codes :]], [None], fused and may_copy_weights(model.trunk)
    )
    prefill = Prefill(model, [*prompts, *(nulls[i] for i in guidance.rows)])
    decoder = prefill.decoder(tokens, fused, device.type == "cuda" if cuda_graph is None else cuda_graph)
    # a step changes nothing but these three, in place, so that it can be captured in a CUDA graph
    hidden = prefill.last.clone()  # (B + G, D)
    codes = torch.zeros(tokens, len(prompts), dtype=torch.long, device=device)
    number = torch.zeros(1, dtype=torch.long, device=device)  # of the next code

    def sample() -> Tensor:
        sampled = sampler(head(guidance.combine(hidden, number)), noise[number][0])
        codes.index_copy_(0, number, sampled[None])
        return sampled

    def step() -> None:
        embedded = model.embed_codes(guidance.repeat(sample()), number)
        hidden.copy_(decoder.step(embedded))
        number.add_(1)

    repeat(step, tokens - 1, captured=device.type == "cuda" and isinstance(decoder, CudaGraphDecoder))
    sample()
    return codes.T.contiguous()


def _guidance_scale(settings: list[SamplingConfig], schedule: Tensor | None, tokens: int) -> Tensor:
    """Guidance (B, N) of each row and token."""
    if schedule is None:
        return torch.tensor([own.cfg for own in settings], dtype=torch.float32)[:, None].expand(-1, tokens)
    if tuple(schedule.shape) != (len(settings), tokens):
        shape = tuple(schedule.shape)
        raise ValueError(f"the schedule of cfg has the shape {shape}: give {len(settings)} x {tokens}")
    for number in schedule.unique().tolist():
        check_setting("cfg", number)
    return schedule.float().cpu()


class Guidance:
    """Classifier-free guidance by a scale (B, N): B rows come first, then unconditional rows of those that need one."""

    def __init__(self, scale: Tensor, device: torch.device) -> None:
        self.rows = [i for i, guided in enumerate((scale != 1).any(1).tolist()) if guided]
        self.size = len(scale)
        self.index = torch.tensor(self.rows, device=device)
        self.scale = scale[self.rows].T[..., None].to(device)  # (N, G, 1)

    def combine(self, hidden: Tensor, number: Tensor) -> Tensor:
        """Guides the hidden states of a token, (1,) its number: (B + G, D) -> (B, D)."""
        if not self.rows:
            return hidden
        own, unconditional = hidden[: self.size], hidden[self.size :]
        scale = self.scale[number][0].to(hidden.dtype)
        if len(self.rows) == self.size:
            return apply_guidance(own, unconditional, scale)
        return own.index_copy(0, self.index, apply_guidance(own[self.index], unconditional, scale))

    def repeat(self, codes: Tensor) -> Tensor:
        """(B,) -> (B + G,): an unconditional row reads what its row drew."""
        if not self.rows:
            return codes
        return torch.cat([codes, codes if len(self.rows) == self.size else codes[self.index]])
