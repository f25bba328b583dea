"""The devices that a command line takes by name; torch and torch_npu are imported as they are asked for."""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
DEVICES = ("cpu", "cuda", "npu")


def check_device(name: str) -> None:
    """Makes sure that tensors can go to the device that --device names, as "cpu", "cuda:1" or "npu".

    Raises:
        ValueError: this machine has no such device, or torch_npu or CANN is missing.
    """
    import torch

    kind = name.partition(":")[0]
    if kind == "npu":
        load_npu(f"--device {name}")
    elif kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: this machine has no CUDA device; leave it out, or give --device cpu"
        )


def load_npu(asker: str) -> None:
    """Has torch know Ascend NPUs: torch loads torch_npu itself, unless TORCH_DEVICE_BACKEND_AUTOLOAD is 0.

    Args:
        asker: the setting that asks for an NPU, for the message.

    Raises:
        ValueError: torch_npu is not installed, CANN is not found, or there is no NPU.
    """
    import torch

    if not hasattr(torch, "npu"):
        try:
            importlib.import_module("torch_npu")
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{asker} needs torch_npu, of the minor version of torch {torch.__version__}: pip install -e '.[npu]'"
            ) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise ValueError(
                f"{asker}: torch_npu does not load ({error}): source CANN's set_env.sh first"
            ) from error
    if not torch.npu.is_available():
        raise ValueError(f"{asker}: this machine has no Ascend NPU that answers (npu-smi info shows them)")


def free_memory(device: "torch.device") -> int:
    """Bytes that tensors can still have of a device, those among them that torch keeps for later ones."""
    if device.type == "cpu":
        if MEMINFO.is_file():
            told = dict(line.partition(":")[::2] for line in MEMINFO.read_text().splitlines())
            for name in ("MemAvailable", "MemFree"):  # old kernels and sandboxes say the second alone
                if amount := told.get(name, "").split():
                    return int(amount[0]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    import torch

    library = torch.get_device_module(device)
    kept = library.memory_reserved(device) - library.memory_allocated(device)
    return library.mem_get_info(device)[0] + kept
