"""What a Trainer becomes on an NPU, with a module that stands in for `torch.npu`; no tensor can be made on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import train

ROOT = Path(train.__file__).parent
STAND_IN = '''
import argparse, json, sys, types
import torch
torch.utils.rename_privateuse1_backend("npu")
fake, seeds, devices = types.ModuleType("torch.npu"), [], []
fake.is_available, fake.device_count, fake.current_device = lambda: True, lambda: 8, lambda: 0
fake.set_device, fake.empty_cache, fake.manual_seed_all = devices.append, lambda: None, seeds.append
fake._is_in_bad_fork, fake.is_initialized, fake.synchronize = lambda: False, lambda: True, lambda *a: None
fake.max_memory_allocated, fake.reset_peak_memory_stats = lambda device: 3 * 2**30, devices.append
torch._register_device_module("npu", fake)

from lightning.pytorch import Trainer
from training.device_stats import reset_peak_memory, peak_memory
from training.step_seed import StepSeed
from models.device import check_device
from training.parallel import strategy
strategy.register()

def trainer_of(**settings):
    """What the trainer of these settings is, or the line that refuses them."""
    given = {"accelerator": "npu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "bf16-mixed"}
    given |= {"plugins": None} | settings
    try:
        strategy.check(argparse.Namespace(**given))
        arguments = given | strategy.trainer_arguments(argparse.Namespace(**given), 60)
        trainer = Trainer(**arguments, logger=False, enable_progress_bar=False)
    except ValueError as error:
        return str(error)
    chosen, precision = trainer.strategy, trainer.precision_plugin
    backend = getattr(chosen, "_get_process_group_backend", lambda: None)()
    return [type(chosen).__name__, str(chosen.root_device), backend, type(precision).__name__,
            getattr(precision, "device", None), trainer.precision, len(getattr(chosen, "parallel_devices", [0])),
            type(trainer.accelerator).__name__]

found = {"one": trainer_of(), "third": trainer_of(devices="2,"), "auto": trainer_of(devices=-1)}
found["true"] = trainer_of(precision="bf16-true")
found |= {name: trainer_of(devices=8, strategy=name) for name in ("ddp", "fsdp2", "fsdp", "deepspeed", "ddp_fork")}
found["many"], found["plain"] = trainer_of(devices=9), trainer_of(precision=None)
trainer = argparse.Namespace(global_rank=0, current_epoch=0)
StepSeed(1)._seed(trainer, 2)
found["seeds"] = len(seeds) and seeds[-1] == torch.initial_seed()
device = torch.device("npu", 1)
reset_peak_memory(device)
found["peak"], found["forgot"] = peak_memory(device), str(devices[-1])
check_device("npu:1")
from training.parallel.npu import NPUAccelerator, NPUDDPStrategy
NPUAccelerator().setup_device(device)
found["set"] = str(devices[-1])
try:
    NPUAccelerator().setup_device(torch.device("cpu"))
except ValueError as error:
    found["wrong"] = str(error)
import training.parallel.npu
training.parallel.npu.DistributedDataParallel = lambda module, ids, **settings: [ids, settings]
ddp = NPUDDPStrategy(find_unused_parameters=True, parallel_devices=[device])
type(ddp).local_rank = 0
found["wrapped"] = ddp._setup_model(torch.nn.Linear(1, 1))
print(json.dumps(found))
'''


@pytest.fixture(scope="module")
def found() -> dict:
    """What was found in a process of its own, for a device is named once in a process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", STAND_IN], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_one_device_is_an_npu_and_not_the_cpu(found: dict) -> None:
    assert found["one"][:2] == ["SingleDeviceStrategy", "npu:0"]
    assert found["third"][:2] == ["SingleDeviceStrategy", "npu:2"]
    assert found["one"][-1] == "NPUAccelerator"


def test_autocast_is_the_npus_and_not_cudas(found: dict) -> None:
    for name in ("one", "ddp", "fsdp2"):
        assert found[name][3:6] == ["MixedPrecision", "npu", "bf16-mixed"]
    assert found["plain"][3:6] == ["Precision", None, "32-true"]
    assert found["true"].startswith("trainer.precision bf16-true keeps trainable weights in a half")


def test_several_devices_speak_hccl(found: dict) -> None:
    assert found["auto"][:3] == found["ddp"][:3] == ["NPUDDPStrategy", "npu:0", "hccl"]
    assert found["fsdp2"][:3] == ["FSDP2Strategy", "npu:0", "hccl"]
    assert found["auto"][6] == found["fsdp2"][6] == 8


def test_what_an_npu_cannot_run_is_refused(found: dict) -> None:
    for name in ("fsdp", "deepspeed", "ddp_fork"):
        assert found[name].startswith(f"trainer.strategy {name} cannot run on an NPU: give one of auto, ddp")
    assert "and this machine has 8" in found["many"]
    assert "the strategy's device is cpu" in found["wrong"]


def test_seeds_memory_and_device_are_the_npus(found: dict) -> None:
    assert found["seeds"] is True
    assert found["peak"] == 3 and found["forgot"] == "npu:1" and found["set"] == "npu:1"


def test_ddp_makes_no_cuda_stream(found: dict) -> None:
    assert found["wrapped"] == [[1], {"find_unused_parameters": True}]
