"""A trunk whose steps all have the same shapes and ask the host for nothing: a GPU can capture one and replay it.

At small batches a GPU is done with a step's operations sooner than the host has asked for them. A CUDA graph asks for
all of them at once. Its price is that every token looks over the whole cache, of which it may not see what is to come.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.language.fused_decoder import FusedDecoder

WARM = 3  # steps before one is captured, as CUDA asks for


class CudaGraphDecoder(FusedDecoder):
    """As `FusedDecoder`, which it equals, with its place in a tensor.

    Attributes:
        at: (1,) number of the token that is read next.
    """

    def __init__(
        self,
        trunk: nn.Module,
        keys: list[Tensor],
        values: list[Tensor],
        real: Tensor,
        positions: Tensor,
        room: int,
    ) -> None:
        super().__init__(trunk, keys, values, real, positions, room)
        for buffer in (*self.keys, *self.values):
            buffer[:, :, self.filled :] = 0  # what is hidden still takes part, times nothing
        self.at = torch.zeros(1, dtype=torch.long, device=real.device)
        self.order = torch.arange(self.filled + room, device=real.device)
        if self.mask is None:
            self.mask = torch.zeros(1, 1, 1, len(self.order), dtype=keys[0].dtype, device=real.device)
        self.hidden = torch.finfo(keys[0].dtype).min

    def _turn(self) -> tuple[Tensor, Tensor]:
        return self.cos.index_select(0, self.at)[0], self.sin.index_select(0, self.at)[0]

    def _mask(self) -> Tensor:
        return self.mask.masked_fill(self.order > self.filled + self.at, self.hidden)

    def _keep(self, buffer: Tensor, new: Tensor) -> Tensor:
        return buffer.index_copy_(2, self.filled + self.at, new[:, :, None])

    def _next(self) -> None:
        self.at += 1


def repeat(step: Callable[[], None], times: int, device: torch.device) -> None:
    """Takes a step so many times: on a CUDA device it is captured once and replayed, elsewhere taken as it is.

    The step keeps its state in tensors that it changes in place.
    """
    if device.type != "cuda" or times <= WARM:
        for _ in range(times):
            step()
        return
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # takes down what is asked for, and does none of it
        step()
    for _ in range(times - WARM):
        graph.replay()
