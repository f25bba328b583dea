"""The chunked loss against full logits: `python -m benchmarks.loss [--json]`.

4,096 tokens, a vocabulary of 48,384, width 1,024, forward and backward: seconds in turn in one process, and what memory
grows by in a process of its own for each side.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import command, made_with, over, show
from benchmarks.roofline import Work
from models.language import chunked_loss

TEXT, VISION = 32_000, 16_384
Loss = Callable[[Tensor, list[Tensor], Tensor], Tensor]


def full(hidden: Tensor, heads: list[Tensor], targets: Tensor) -> Tensor:
    """All logits at once."""
    return F.cross_entropy(F.linear(hidden, torch.cat(heads)), targets, reduction="sum")


SIDES: dict[str, Loss] = {"full": full, "chunked": lambda *data: chunked_loss.summed_cross_entropy(*data)[0]}


def inputs(tokens: int, width: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Random hidden states, heads and targets."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, requires_grad=True)
    heads = [(0.02 * torch.randn(rows, width)).requires_grad_() for rows in (TEXT, VISION)]
    return hidden, heads, torch.randint(0, TEXT + VISION, (tokens,))


def step(side: str, data: tuple[Tensor, list[Tensor], Tensor]) -> tuple[float, list[Tensor]]:
    """Seconds of forward and backward, and the loss and gradients that came of it."""
    hidden, heads, targets = data
    start = time.perf_counter()
    loss = SIDES[side](hidden, heads, targets)
    made = torch.autograd.grad(loss, [hidden, *heads])
    return time.perf_counter() - start, [loss.detach(), *made]


def _growth(side: str, tokens: int, width: int, answer: Any) -> None:
    data = inputs(tokens, width)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew (Linux)
    before = _peak()
    step(side, data)
    answer.put(_peak() - before)


def _peak() -> int:
    """The most bytes that this process had since its peak was set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def growth(side: str, tokens: int, width: int) -> float:
    """Bytes by which a process grows at most in one step."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_growth, args=(side, tokens, width, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"measuring {side} ended with {process.exitcode}")
    return answer.get()


def measure(tokens: int, width: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn."""
    data = inputs(tokens, width)
    ours, theirs = step("chunked", data)[1], step("full", data)[1]
    apart = max(
        ((a - b).norm() / b.norm()).item() for a, b in zip(ours, theirs, strict=True)
    )  # relative, of loss and gradients
    del ours, theirs
    pairs = [(step("full", data)[0], step("chunked", data)[0]) for _ in range(rounds)]
    ratios = [chunked / whole for whole, chunked in pairs]
    ours_seconds = statistics.median(chunked for _, chunked in pairs)
    peaks = {side: growth(side, tokens, width) for side in SIDES}
    return {
        **over(ratios, "seconds_over_full"),
        "full_seconds": round(statistics.median(whole for whole, _ in pairs), 3),
        "memory_over_full": round(peaks["chunked"] / peaks["full"], 3),
        "full_mib": round(peaks["full"] / 2**20),
        "chunked_mib": round(peaks["chunked"] / 2**20),
        "largest_difference": apart,
        "roofline": work(tokens, width).beside(ours_seconds),
        **made_with(),
    }


def work(tokens: int, width: int) -> Work:
    """What forward and backward take at least: three products; heads are read twice and their gradients written once."""
    vocabulary = TEXT + VISION
    return Work(4 * width * (3 * vocabulary + 2 * tokens), 3 * 2 * tokens * width * vocabulary)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("loss", __doc__)
    parser.add_argument("--tokens", type=int, default=4096, help="default: %(default)s")
    parser.add_argument("--width", type=int, default=1024, help="default: %(default)s")
    options = parser.parse_args(arguments)
    found = measure(options.tokens, options.width, options.rounds)
    show(found, options.json)


if __name__ == "__main__":
    main()
