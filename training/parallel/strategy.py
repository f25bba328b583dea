"""From a config's `trainer` to strategy and plugins; what cannot run here is reported before anything is built.

`accelerator: npu` and `strategy: fsdp2` are known once `register` was called. One `timeout` holds for every strategy that
is given by name.
"""

import os
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy, StrategyRegistry

from models.device import load_npu
from training.parallel import npu
from training.parallel.fsdp2 import FSDP2Strategy, check_precision

ON_NPU = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true", "fsdp2")
CUDA_ONLY = ("fsdp", "deepspeed")  # how the names of Lightning's strategies begin that want CUDA
FULL_NAMES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true", "None": "32-true"}
TRUE_HALVES = ("bf16-true", "16-true")  # in which trainable weights would be kept, too
SLACK = 60.0  # seconds by which the collectives' own time-out is later than that of training/hang_watchdog.py


def register() -> None:
    """Makes Lightning know `accelerator: npu` and `strategy: fsdp2`; once is enough, twice does no harm."""
    if "npu" not in AcceleratorRegistry:
        npu.NPUAccelerator.register_accelerators(AcceleratorRegistry)
    if "fsdp2" not in StrategyRegistry:
        StrategyRegistry.register("fsdp2", FSDP2Strategy, description="FSDP2 over all processes")


def check(trainer: Any) -> None:
    """Makes sure that a config's trainer, as jsonargparse parsed it, can run here.

    Raises:
        ValueError: a strategy that the accelerator cannot run, a precision that does not train, no NPU, or a count that
            the launcher contradicts.
    """
    accelerator, precision = str(trainer.accelerator), full_precision(trainer)
    path = getattr(trainer.strategy, "class_path", None)
    name = path.rpartition(".")[2] if path else str(trainer.strategy)
    if accelerator == "npu":
        load_npu("trainer.accelerator npu")
        if name not in (*ON_NPU, "FSDP2Strategy", "NPUDDPStrategy"):
            raise ValueError(f"trainer.strategy {name} cannot run on an NPU: give one of {', '.join(ON_NPU)}")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    if on_cpu and name.lower().startswith(CUDA_ONLY) and not name.lower().startswith("fsdp2"):
        raise ValueError(
            f"trainer.strategy {name} cannot run on a CPU: give fsdp2 or ddp, or another accelerator"
        )
    if name in ("fsdp2", "FSDP2Strategy"):
        check_precision(precision)
    check_true_halves(precision, on_cpu)
    check_devices(trainer.devices, on_cpu)
    check_launcher(count_devices(trainer.devices, accelerator), trainer.num_nodes)


def check_true_halves(precision: str, on_cpu: bool = False) -> None:
    """Makes sure that a precision keeps trainable weights in one that holds their updates, and runs on the accelerator.

    Raises:
        ValueError: it does not; the message says what to give instead.
    """
    if precision in TRUE_HALVES:
        raise ValueError(
            f"trainer.precision {precision} keeps trainable weights in a half, in which most updates round away: give "
            f"{precision.replace('-true', '-mixed')}, and where memory is short --model.init_args.frozen_dtype=bfloat16"
        )
    if precision == "16-mixed" and on_cpu:
        raise ValueError("trainer.precision 16-mixed cannot run on a CPU: give bf16-mixed or 32-true")


def check_devices(devices: Any, on_cpu: bool) -> None:
    """Makes sure that `trainer.devices` is a count, or names devices, each once.

    Raises:
        ValueError: it does not; on a CPU also where so many processes would only wait for each other.
    """
    is_list = isinstance(devices, (list, tuple))
    numbers = [
        str(one).strip() for one in (devices if is_list else str(devices).split(",")) if str(one).strip()
    ]
    several = is_list or "," in str(devices)
    valid = bool(numbers) and len(set(numbers)) == len(numbers) and all(map(str.isdecimal, numbers))
    if str(devices) not in ("auto", "-1") and not (valid and (several or int(numbers[0]) > 0)):
        raise ValueError(
            f"trainer.devices is {devices!r}: give a count from 1, auto, or numbers of devices, each once, as [0, 1]"
        )
    if not on_cpu:
        return
    if several:
        raise ValueError(
            f"trainer.devices is {devices!r}: the devices of a CPU have no numbers; give how many processes"
        )
    most = max(8, 2 * (os.cpu_count() or 1))
    if str(devices).isdecimal() and int(devices) > most:
        raise ValueError(
            f"trainer.devices is {devices}, and this machine's {os.cpu_count()} cores bear {most} processes"
        )


def check_launcher(devices: int, nodes: int) -> None:
    """Compares devices and nodes with what torchrun or SLURM has started; else ranks would wait for ever.

    Raises:
        ValueError: they differ.
    """
    env = os.environ
    if TorchElasticEnvironment.detect():
        launcher, counts = "torchrun", (env.get("LOCAL_WORLD_SIZE"), env.get("GROUP_WORLD_SIZE"))
        names = ("--nproc-per-node", "--nnodes")
    elif SLURMEnvironment.detect():
        launcher, counts = "SLURM", (env.get("SLURM_NTASKS_PER_NODE"), env.get("SLURM_NNODES"))
        names = ("--ntasks-per-node", "--nodes")
        if counts[0] is None and int(env["SLURM_NTASKS"]) > 1:
            raise ValueError(
                f"SLURM runs {env['SLURM_NTASKS']} tasks: give it --ntasks-per-node={devices}, not --ntasks"
            )
    else:
        return
    settings = (("trainer.devices", devices), ("trainer.num_nodes", nodes or 1))
    for (setting, ours), theirs, name in zip(settings, counts, names, strict=True):
        if theirs is not None and int(theirs) != ours:
            raise ValueError(
                f"{setting} is {ours}, and {launcher} was started with {name}={theirs}: give --{setting} {theirs}"
            )


def named_devices(devices: int | str | list[int]) -> int | None:
    """How many devices `trainer.devices` names; None: it leaves that to the machine."""
    if isinstance(devices, (list, tuple)):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([number for number in devices.split(",") if number.strip()])
    return None if str(devices) in ("auto", "-1") else int(devices)


def count_devices(devices: int | str | list[int], accelerator: str) -> int:
    """How many devices of this machine `trainer.devices` asks for."""
    if (named := named_devices(devices)) is not None:
        return named
    if accelerator == "npu":
        return npu.NPUAccelerator.auto_device_count()
    return 1 if accelerator == "cpu" else max(1, torch.accelerator.device_count())


def trainer_arguments(trainer: Any, timeout: float) -> dict[str, Any]:
    """What a Trainer is given beside, or instead of, its config: the strategy, and plugins for precision and launcher.

    Args:
        trainer: the settings, with what they name built.
        timeout: seconds that a process may wait for another.
    """
    on_npu, precision = trainer.accelerator == "npu", full_precision(trainer)
    arguments: dict[str, Any] = {}
    strategy = _build_strategy(trainer, on_npu, timedelta(seconds=timeout + SLACK))
    if strategy is not None:
        arguments["strategy"] = strategy
    given = trainer.plugins or []
    plugins = list(given) if isinstance(given, (list, tuple)) else [given]
    if on_npu and precision in ("16-mixed", "bf16-mixed"):
        plugins.append(npu.mixed_precision(precision))
        arguments["precision"] = None  # the plugin's
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # Lightning's requeueing saves a checkpoint of its own kind beside ours, and ignores SIGTERM
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return arguments | ({"plugins": plugins} if plugins else {})


def _build_strategy(trainer: Any, on_npu: bool, timeout: timedelta) -> Strategy | None:
    """The strategy of a name; None: Lightning's choice will do."""
    name = trainer.strategy
    if not isinstance(name, str):
        return None
    if name == "auto":
        if count_devices(trainer.devices, str(trainer.accelerator)) * (trainer.num_nodes or 1) == 1:
            return npu.single_device(trainer.devices) if on_npu else None
        name = "ddp_find_unused_parameters_true"  # a batch that shows no image leaves the adapter out
    entry = StrategyRegistry[name.lower()] if name.lower() in StrategyRegistry else {"strategy": None}
    if entry["strategy"] not in (DDPStrategy, FSDP2Strategy):
        return None
    kind = npu.NPUDDPStrategy if on_npu and entry["strategy"] is DDPStrategy else entry["strategy"]
    return kind(**entry["init_params"], timeout=timeout)


def full_precision(trainer: Any) -> str:
    """A config's precision by Lightning's full name of it."""
    return FULL_NAMES.get(str(trainer.precision), str(trainer.precision))
