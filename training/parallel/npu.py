"""Ascend NPUs, which Lightning does not know: an accelerator, DDP over HCCL, and a Trainer's arguments.

`torch.npu` comes with torch_npu, an extra, and CANN. No NPU has run this: tests stand a module in for `torch.npu`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Devices = int | str | Sequence[int]


class NPUAccelerator(Accelerator):
    """An Ascend NPU, or several."""

    def setup_device(self, device: torch.device) -> None:
        if device.type != "npu":
            raise ValueError(f"trainer.accelerator is npu, and the strategy's device is {device}")
        torch.npu.set_device(device)

    def teardown(self) -> None:
        torch.npu.empty_cache()

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        return torch.npu.memory_stats(device)

    @staticmethod
    def parse_devices(devices: Devices) -> list[int]:
        """Numbers of NPUs, from a count, -1 for all, "0,1" or a list.

        Raises:
            ValueError: there are not as many.
        """
        there = NPUAccelerator.auto_device_count()
        if isinstance(devices, str):
            devices = [int(n) for n in devices.split(",") if n.strip()] if "," in devices else int(devices)
        if isinstance(devices, int):
            devices = list(range(there if devices == -1 else devices))
        if [n for n in devices if not 0 <= n < there]:
            raise ValueError(
                f"trainer.devices asks for the NPUs {list(devices)}, and this machine has {there}"
            )
        return list(devices)

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device("npu", number) for number in devices]

    @staticmethod
    def auto_device_count() -> int:
        return torch.npu.device_count() if hasattr(torch, "npu") else 0

    @staticmethod
    def is_available() -> bool:
        return hasattr(torch, "npu") and torch.npu.is_available()

    @staticmethod
    def name() -> str:
        return "npu"

    @classmethod
    def register_accelerators(cls, accelerator_registry: AcceleratorRegistry) -> None:
        accelerator_registry.register(cls.name(), cls, description="Huawei Ascend NPU")


class NPUDDPStrategy(DDPStrategy):
    """DDP over HCCL."""

    def _get_process_group_backend(self) -> str:
        return self._process_group_backend or "hccl"

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        # Lightning's makes a CUDA stream wherever the device is not a CPU
        return DistributedDataParallel(model, self.determine_ddp_device_ids(), **self._ddp_kwargs)


def single_device(devices: Devices) -> SingleDeviceStrategy:
    """One NPU; left to itself, Lightning would take the CPU without a word."""
    return SingleDeviceStrategy(torch.device("npu", NPUAccelerator.parse_devices(devices)[0]))


def mixed_precision(precision: str) -> MixedPrecision:
    """Autocast on the NPU; left to itself, Lightning would set it up for CUDA."""
    return MixedPrecision(precision, "npu")
