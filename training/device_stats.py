"""Peak rate of a device, stated or measured, and the memory that was taken of it."""

import resource
import sys
import time
from types import ModuleType

import torch

SIDES = {"cpu": 1024}  # of the square matrices that are multiplied; a GPU needs large ones to be busy
SIDE = 8192
REPEATS = 5

# Dense products in 16 bits, 10^12 operations per second: NVIDIA's data sheets, and appendix A of the Ada GPU
# architecture's paper (accumulation in 32 bits). Single precision counts as TF32, at half the rate: convolutions use it.
STATED_TFLOPS = {
    "H200": 989.4,
    "H100 PCIe": 756.5,
    "H100 NVL": 835.0,
    "H100": 989.4,
    "A100": 312.0,
    "RTX 4090": 165.2,
}


def stated_flops_per_second(device: torch.device, precision: str) -> float:
    """What the maker of a device states for a run of this Trainer's `precision`; 0: unknown here."""
    if device.type != "cuda" or "64" in precision:
        return 0.0
    name = torch.cuda.get_device_name(device)
    half = next((rate for model, rate in STATED_TFLOPS.items() if model in name), 0.0) * 1e12
    return half if "16" in precision else half / 2


def synchronize(device: torch.device) -> None:
    """Waits until a device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def matrix_dtype(precision: str) -> torch.dtype:
    """The type that matrices have under a Trainer's `precision`."""
    for mark, dtype in (("bf16", torch.bfloat16), ("16", torch.float16), ("64", torch.float64)):
        if mark in precision:
            return dtype
    return torch.float32


def measured_flops_per_second(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Rate of one large matrix product: the best of a few, after one to warm up. Leaves random states as they were."""
    side = side or SIDES.get(device.type, SIDE)
    generator = torch.Generator(device=device).manual_seed(0)
    one = torch.rand(side, side, generator=generator, device=device).to(dtype)
    product = torch.empty_like(one)
    best = float("inf")
    for number in range(REPEATS + 1):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(one, one, out=product)
        synchronize(device)
        best = min(best, time.perf_counter() - start) if number else best
    return 2 * side**3 / best


def reset_peak_memory(device: torch.device) -> None:
    """Has `peak_memory` begin anew, where the device itself keeps count."""
    if (module := _memory_module(device)) is not None:
        module.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """GiB: the most that torch's tensors took of a CUDA device or NPU, or that this process held in memory."""
    if (module := _memory_module(device)) is not None:
        return module.max_memory_allocated(device) / 2**30
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB elsewhere


def _memory_module(device: torch.device) -> ModuleType | None:
    """torch.cuda or torch.npu, where the device is one of theirs."""
    module = None if device.type == "cpu" else torch.get_device_module(device)
    return module if hasattr(module, "max_memory_allocated") else None
