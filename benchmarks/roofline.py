"""What the hardware would allow: the larger of bytes over bandwidth and operations over rate (Williams et al. 2009).

Both are measured here, in the run whose figures they stand beside. The rate is that of the fastest product of matrices
that torch has on the device; the bandwidth is that of reading as many bytes as the work goes through again and again, so
that a model which fits into the caches is held against the caches.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from models.language.packed_linear import can_pack, product
from training.device_stats import measured_flops_per_second

SIDE = 1024  # of the matrices that a CPU multiplies
ROUNDS = 7
LEAST, MOST = 2**22, 2**28  # bytes: what is smaller or larger is read as fast as this


@dataclass(frozen=True)
class Work:
    """What a piece of work cannot do without.

    Attributes:
        bytes: that must be read or written.
        operations: floating point operations of its products.
        at_once: how many bytes are gone through again and again; None: all of them.
    """

    bytes: float
    operations: float
    at_once: float | None = None

    def __add__(self, other: "Work") -> "Work":
        return Work(self.bytes + other.bytes, self.operations + other.operations, self.at_once)

    def beside(
        self, seconds: float, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> dict[str, Any]:
        """What there is to say when it took so many seconds."""
        speed, rate = bandwidth(self.at_once or self.bytes, device), product_rate(device, dtype)
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
    """Operations a second of one large product: on a CPU in single precision the faster of two ways to make it."""
    plain = measured_flops_per_second(torch.device(device), dtype)
    one = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(dtype)
    if device != "cpu" or not can_pack(one):
        return plain
    multiply = product([one], [None])
    return max(plain, 2 * SIDE**3 / _best(lambda: multiply(one), device))


def bandwidth(size: float, device: str) -> float:
    """Bytes a second, reading so many of them over and over."""
    power = 2 ** round(size - 1).bit_length()  # one measurement for all sizes about as large
    return _bandwidth(min(max(power, LEAST), MOST if device == "cpu" else 16 * MOST), device)


@cache
def _bandwidth(size: int, device: str) -> float:
    numbers = torch.ones(size // 4, device=device)
    return size / _best(numbers.sum, device)


def _best(work: Callable[[], Any], device: str) -> float:
    seconds = []
    with torch.no_grad():
        for _ in range(ROUNDS):
            start = time.perf_counter()
            work()
            if device != "cpu":
                torch.accelerator.synchronize(device)
            seconds.append(time.perf_counter() - start)
    return min(seconds)
