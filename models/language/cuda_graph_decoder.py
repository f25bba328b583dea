"""Decoding whose steps all have the same shapes and ask the host for nothing: a GPU can capture one and replay it.

At small batches a GPU is done with a step's operations sooner than the host has asked for them. A CUDA graph asks for
all of them at once. Its price is that every token looks over the whole cache, of which it may not see what is to come.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.language.fused_decoder import FusedDecoder, Prefix

WARM_UP = 3  # steps before one is captured, as CUDA asks for


class CudaGraphDecoder(FusedDecoder):
    """As `FusedDecoder`, which it equals, with the number of the next token in a tensor, (1,) `written`."""

    def __init__(self, trunk: Any, prefix: Prefix, room: int) -> None:
        super().__init__(trunk, prefix, room)
        self.written = torch.zeros(1, dtype=torch.long, device=self.cos.device)
        self.order = torch.arange(self.filled + room, device=self.cos.device)
        unmasked = torch.zeros(1, 1, 1, len(self.order), dtype=self.cos.dtype, device=self.cos.device)
        self.fixed_mask = unmasked if self.mask is None else self.mask

    def _rotation(self) -> tuple[Tensor, Tensor]:
        return self.cos.index_select(0, self.written)[0], self.sin.index_select(0, self.written)[0]

    def _visible(self) -> Tensor:
        hidden = self.order > self.filled + self.written
        return self.fixed_mask.masked_fill(hidden, torch.finfo(self.fixed_mask.dtype).min)

    def _store(self, buffer: Tensor, new: Tensor) -> Tensor:
        return buffer.index_copy_(2, self.filled + self.written, new[:, :, None])


def repeat(step: Callable[[], None], times: int, captured: bool) -> None:
    """Takes a step so many times; `captured` into a CUDA graph once and replayed, else as it is.

    The step keeps its state in tensors that it changes in place.
    """
    eager = WARM_UP if captured and times > WARM_UP else times
    if eager == times:
        for _ in range(times):
            step()
        return
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(eager):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records what is asked for, and does none of it
        step()
    for _ in range(times - eager):
        graph.replay()
