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
from models.language.fused_decoder import FusedDecoder, may_copy_weights
from models.language.packed_linear import Linear, packed_linear
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
    device = model.vision_head.device
    cuda_graph = device.type == "cuda" if cuda_graph is None else cuda_graph
    codes_rows = model.vision_head[-model.vocabulary.codes :]  # nothing else can be drawn
    head = packed_linear([codes_rows], [None], fused and may_copy_weights(model.trunk))
    codes = []
    for batch in (slice(first, first + size) for first in range(0, len(prompts), size)):
        guidance, sampler = Guidance(scale[batch], device), Sampler(settings[batch], device)
        unconditional = [nulls[batch][i] for i in guidance.rows]
        prefill = Prefill(model, [*prompts[batch], *unconditional])
        decoder = prefill.decoder(model.draw_tokens, fused, cuda_graph)
        noise = uniform_noise(seeds[batch], model.draw_tokens).T.to(device)
        codes.append(_decode(model, decoder, prefill.last, head, guidance, sampler, noise))
    return torch.cat(codes)


def _decode(
    model: UnifiedLM,
    decoder: Prefill | FusedDecoder,
    hidden: Tensor,
    head: Linear,
    guidance: "Guidance",
    sampler: Sampler,
    noise: Tensor,
) -> Tensor:
    """Codes (B, N), from the prompts' last hidden states (B + G, D) and noise (N, B)."""
    # a step changes nothing but these three, in place, so that it can be captured in a CUDA graph
    hidden, codes = hidden.clone(), torch.zeros_like(noise, dtype=torch.long)
    number = torch.zeros(1, dtype=torch.long, device=noise.device)  # of the next code

    def sample() -> Tensor:
        sampled = sampler(head(guidance.combine(hidden, number)), noise[number][0])
        codes.index_copy_(0, number, sampled[None])
        return sampled

    def step() -> None:
        embedded = model.embed_codes(guidance.repeat(sample()), number)
        hidden.copy_(decoder.step(embedded))
        number.add_(1)

    repeat(step, len(noise) - 1, captured=noise.is_cuda and isinstance(decoder, CudaGraphDecoder))
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
