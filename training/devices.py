"""Devices that a run can be planned for: memory, and the rate of dense matrix products, as their makers state them."""

import os
from typing import NamedTuple

GIB = 2.0**30


class Device(NamedTuple):
    """A device.

    Attributes:
        title: as its maker calls it.
        memory: GiB that a process can have of it; 0: what this machine has.
        half: dense products in 16 bits, 10^12 operations a second.
        single: in 32 bits, as torch makes them where nobody allows TF32; 0: measured on this machine.
    """

    title: str
    memory: float
    half: float
    single: float


# Rates without sparsity. NVIDIA's data sheets: H100 Tensor Core GPU (SXM5), A100 Tensor Core GPU, and the Ada GPU
# architecture's paper, appendix A (16 bits with accumulation in 32). Memory: what nvidia-smi shows of each as its total.
# Ascend 910B: Huawei's Atlas 800T A2 page states 2.5 PFLOPS in FP16 for eight of 64 GB; its rate in 32 bits is not there,
# and is as public reports have it.
DEVICES = {
    "h100": Device("H100 SXM, 80 GB", 79.6, 989.4, 66.9),
    "a100": Device("A100 SXM, 80 GB", 80.0, 312.0, 19.5),
    "a100-40": Device("A100 SXM, 40 GB", 40.0, 312.0, 19.5),
    "rtx4090": Device("GeForce RTX 4090, 24 GB", 24.0, 165.2, 82.6),
    "910b": Device("Ascend 910B, 64 GB", 64.0, 313.0, 75.0),
    "cpu": Device("this machine's CPU", 0.0, 0.0, 0.0),
}
OF_ACCELERATOR = {"cpu": "cpu", "npu": "910b"}
USUAL = "h100"


def default_device(accelerator: str) -> str:
    """The device that is planned for where none is named."""
    return OF_ACCELERATOR.get(accelerator, USUAL)


def memory_of(device: Device) -> float:
    """Bytes of a device's memory."""
    if device.memory:
        return device.memory * GIB
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def peak_of(device: Device, precision: str) -> float:
    """Operations a second of dense products in a run's precision; a CPU's are measured, in a moment."""
    if device.single:
        return (device.half if "16" in precision else device.single) * 1e12
    import torch

    from training.device_stats import matrix_dtype, measured_flops_per_second

    return measured_flops_per_second(torch.device("cpu"), matrix_dtype(precision))
