"""The peak rate of a device, as its maker states it or as it is measured, and the memory that was taken of it."""

import pytest
import torch

from training.device_stats import (
    matrix_dtype,
    measured_flops_per_second,
    peak_memory,
    stated_flops_per_second,
)


@pytest.mark.parametrize(
    ("device", "precision", "rate"),
    [
        ("NVIDIA H200", "bf16-mixed", 989.4e12),
        ("NVIDIA H100 80GB HBM3", "16-mixed", 989.4e12),
        ("NVIDIA H100 PCIe", "bf16-true", 756.5e12),
        ("NVIDIA A100-SXM4-80GB", "32-true", 156e12),  # TF32
        ("NVIDIA H200", "64-true", 0.0),
        ("Tesla T4", "bf16-mixed", 0.0),
        ("cpu", "32-true", 0.0),
    ],
)
def test_stated_rates_by_device_and_precision(device: str, precision: str, rate: float, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: device)
    assert stated_flops_per_second(torch.device("cpu" if device == "cpu" else "cuda"), precision) == rate


def test_measuring_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    small = 64  # on one thread: tests of several ranks fork this process afterwards
    assert 1e6 < measured_flops_per_second(torch.device("cpu"), torch.float32, small) < 1e14
    assert torch.equal(torch.get_rng_state(), before)
    assert peak_memory(torch.device("cpu")) > 0.05


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("64", torch.float64),
    ],
)
def test_matrix_dtype_of_a_precision(name: str, dtype: torch.dtype) -> None:
    assert matrix_dtype(name) == dtype
