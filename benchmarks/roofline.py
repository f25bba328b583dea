"""What the hardware would allow: the larger of bytes over bandwidth and operations over rate (Williams et al. 2009).

Both are measured here, in the run whose figures they stand beside. The rate is that of the fastest product of matrices
that torch has on the device; the bandwidth is that of reading as many bytes as the work reads again and again, so that a
model which fits into the caches is compared to the caches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.harness import seconds as seconds_of
from models.language.packed_linear import can_pack, packed_linear
from training.device_stats import measured_flops_per_second

if TYPE_CHECKING:  # it imports transformers, which the processes of benchmarks/loss.py need not
    from models.language.unified_lm import UnifiedLM

SIDE = 1024  # of the matrices that a CPU multiplies
ROUNDS = 7
MIN_BYTES, MAX_BYTES = 2**22, 2**28  # what is smaller or larger is read as fast as this


@dataclass(frozen=True)
class Work:
    """What a computation cannot do without.

    Attributes:
        bytes: that must be read or written.
        operations: floating point operations of its products.
        working_set: bytes that are read again and again; None: all of them.
    """

    bytes: float
    operations: float
    working_set: float | None = None

    def __add__(self, other: "Work") -> "Work":
        return Work(self.bytes + other.bytes, self.operations + other.operations, self.working_set)

    def roofline(
        self, seconds: float, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> dict[str, Any]:
        """The seconds that the hardware would allow, and their share of those that were taken."""
        speed, rate = bandwidth(self.working_set or self.bytes, device), product_rate(device, dtype)
        moving, computing = self.bytes / speed, self.operations / rate
        return {
            "mib": round(self.bytes / 2**20, 1),
            "gflop": float(f"{self.operations / 1e9:.4g}"),
            "gib_per_second": round(speed / 2**30, 1),
            "gflop_per_second": round(rate / 1e9, 1),
            "bound_by": "bytes" if moving > computing else "operations",
            "allowed_seconds": float(f"{max(moving, computing):.4g}"),
            "seconds": float(f"{seconds:.4g}"),
            "share": round(max(moving, computing) / seconds, 3),
        }


@cache
def product_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of one large product; on a CPU the faster of a plain and a packed one."""
    plain = measured_flops_per_second(torch.device(device), dtype)
    matrix = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(dtype)
    if device != "cpu" or not can_pack(matrix):
        return plain
    multiply = packed_linear([matrix], [None])
    return max(plain, 2 * SIDE**3 / _best(lambda: multiply(matrix), device))


def bandwidth(size: float, device: str) -> float:
    """Bytes a second of reading so many of them over and over."""
    power = 2 ** round(size - 1).bit_length()  # one measurement for all sizes about as large
    return _bandwidth(min(max(power, MIN_BYTES), MAX_BYTES if device == "cpu" else 16 * MAX_BYTES), device)


@cache
def _bandwidth(size: int, device: str) -> float:
    numbers = torch.ones(size // 4, device=device)
    return size / _best(numbers.sum, device)


def _best(work: Callable[[], Any], device: str) -> float:
    def run() -> None:
        work()
        if device != "cpu":
            torch.accelerator.synchronize(device)

    with torch.no_grad():
        return min(seconds_of(run) for _ in range(ROUNDS))


def trunk_weights(model: "UnifiedLM") -> int:
    """Numbers in the matrices that every token is multiplied by: those of the trunk, without heads and norms."""
    return sum(p.numel() for p in model.param_groups()["trunk"] if p.ndim == 2)


def prefill_work(model: "UnifiedLM", tokens: int, itemsize: int = 4) -> Work:
    """Reading so many tokens of prompts at once, attention apart."""
    weights = trunk_weights(model)
    return Work(itemsize * weights, 2 * tokens * weights, working_set=itemsize * weights)


def decode_work(
    model: "UnifiedLM", rows: int, sampled_rows: int, head: int, prompt: int, tokens: int, itemsize: int = 4
) -> Work:
    """Writing `tokens` tokens a row, one after the other; each step reads weights, head, keys and values once.

    Args:
        model: the language model.
        rows: that are read, the unconditional ones of guidance among them.
        sampled_rows: rows that choose a token.
        head: text tokens or codes that they choose among.
        prompt: its tokens, whose keys and values are there.
        tokens: written by each row.
        itemsize: bytes of a number.
    """
    config = model.trunk.config
    heads, size, layers = config.num_attention_heads, config.head_dim, config.num_hidden_layers
    cache = 2 * config.num_key_value_heads * size
    weights, last = trunk_weights(model), head * config.hidden_size
    keys = sum(prompt + step for step in range(1, tokens))  # of all steps but the last, which is not read
    moved = (tokens - 1) * weights + tokens * last + rows * layers * cache * keys
    products = (tokens - 1) * rows * weights + tokens * sampled_rows * last
    attention = 2 * rows * layers * heads * size * keys
    return Work(itemsize * moved, 2 * (products + attention), working_set=itemsize * moved / tokens)
