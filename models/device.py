"""The devices of command lines, by name; torch and torch_npu are imported where they are needed."""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
DEVICES = ("cpu", "cuda", "npu")


def check_device(name: str) -> None:
    """Raises ValueError where this machine lacks the device that --device names, as "cpu", "cuda:1" or "npu"."""
    import torch

    kind = name.partition(":")[0]
    if kind == "npu":
        load_npu(f"--device {name}")
    elif kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: this machine has no CUDA device; leave it out, or give --device cpu"
        )


def load_npu(setting: str) -> None:
    """Registers Ascend NPUs with torch, which loads torch_npu itself unless TORCH_DEVICE_BACKEND_AUTOLOAD is 0.

    Raises:
        ValueError: torch_npu is not installed, CANN is not found, or there is no NPU; the message begins with the setting
            that asks for one.
    """
    import torch

    if not hasattr(torch, "npu"):
        try:
            importlib.import_module("torch_npu")
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{setting} needs torch_npu, of the minor version of torch {torch.__version__}: pip install -e '.[npu]'"
            ) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise ValueError(
                f"{setting}: torch_npu does not load ({error}): source CANN's set_env.sh first"
            ) from error
    library: Any = torch
    if not library.npu.is_available():
        raise ValueError(f"{setting}: this machine has no Ascend NPU that answers (npu-smi info shows them)")


def free_memory(device: "torch.device") -> int:
    """Bytes of a device that tensors can still take, with those that torch has cached."""
    if device.type == "cpu":
        if MEMINFO.is_file():
            amounts = dict(line.partition(":")[::2] for line in MEMINFO.read_text().splitlines())
            for name in ("MemAvailable", "MemFree"):  # old kernels and sandboxes have the second alone
                if amount := amounts.get(name, "").split():
                    return int(amount[0]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    import torch

    library = torch.get_device_module(device)
    cached = library.memory_reserved(device) - library.memory_allocated(device)
    return library.mem_get_info(device)[0] + cached
