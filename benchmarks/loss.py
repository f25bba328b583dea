"""The chunked loss against full logits: `python -m benchmarks.loss [--json]`.

Seconds of forward and backward, alternating in one process, and what memory grows by in a process of its own for each
side.
"""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import alternate, peak_bytes, reset_peak, run
from benchmarks.roofline import Work
from models.language import chunked_loss

TEXT, CODES = 32_000, 16_384  # rows of the heads
Loss = Callable[[Tensor, list[Tensor], Tensor], Tensor]


def full(hidden: Tensor, heads: list[Tensor], targets: Tensor) -> Tensor:
    """All logits at once."""
    return F.cross_entropy(F.linear(hidden, torch.cat(heads)), targets, reduction="sum")


SIDES: dict[str, Loss] = {"full": full, "chunked": lambda *data: chunked_loss.summed_cross_entropy(*data)[0]}


def inputs(tokens: int, width: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Random hidden states, heads and targets."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, requires_grad=True)
    heads = [(0.02 * torch.randn(rows, width)).requires_grad_() for rows in (TEXT, CODES)]
    return hidden, heads, torch.randint(0, TEXT + CODES, (tokens,))


def step(side: str, data: tuple[Tensor, list[Tensor], Tensor]) -> list[Tensor]:
    """The loss and its gradients."""
    hidden, heads, _ = data
    loss = SIDES[side](*data)
    return [loss.detach(), *torch.autograd.grad(loss, [hidden, *heads])]


def memory_growth(side: str, tokens: int, width: int) -> int:
    """Bytes by which this process grows at most in one step."""
    data = inputs(tokens, width)
    before = reset_peak()
    step(side, data)
    return peak_bytes() - before


def measure(rounds: int = 5, tokens: int = 4096, width: int = 1024) -> dict[str, Any]:
    """Compares both sides.

    Args:
        rounds: of both sides.
        tokens: whose loss is taken.
        width: of the hidden states.
    """
    data = inputs(tokens, width)
    differences = [
        ((a - b).norm() / b.norm()).item()
        for a, b in zip(step("chunked", data), step("full", data), strict=True)
    ]
    pairs = alternate(lambda: step("full", data), lambda: step("chunked", data), rounds)
    peaks = {}
    for side in SIDES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peaks[side] = pool.apply(memory_growth, (side, tokens, width))
    return {
        **pairs.cost("seconds_over_full"),
        "full_seconds": round(pairs.their_median, 3),
        "memory_over_full": round(peaks["chunked"] / peaks["full"], 3),
        "full_mib": round(peaks["full"] / 2**20),
        "chunked_mib": round(peaks["chunked"] / 2**20),
        "largest_difference": max(differences),  # relative, of loss and gradients
        "roofline": work(tokens, width).roofline(pairs.our_median),
    }


def work(tokens: int, width: int) -> Work:
    """What forward and backward take at least: three products; heads are read twice and their gradients written once."""
    vocabulary = TEXT + CODES
    return Work(4 * width * (3 * vocabulary + 2 * tokens), 3 * 2 * tokens * width * vocabulary)


if __name__ == "__main__":
    run(measure)
