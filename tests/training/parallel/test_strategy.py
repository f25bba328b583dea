"""What cannot run here is reported before anything is built."""

import argparse
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from lightning.pytorch.strategies import DDPStrategy

import train
from tests.ranks import torchrun_environment
from tests.tiny import BASE, error_of, write
from training.parallel import strategy
from training.parallel.fsdp2 import FSDP2Strategy

ROOT = Path(train.__file__).parent
SLURM = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder with one config, and no launcher's environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else Lightning sets it for good, and tests that fork stop
    write("base.yaml", BASE)


def settings(**changes: object) -> argparse.Namespace:
    """A config's trainer."""
    usual = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": None}
    return argparse.Namespace(**{**usual, "plugins": None, **changes})


@pytest.mark.parametrize(
    ("launcher", "given", "line"),
    [
        (SLURM, ("devices=2", "num_nodes=2"), "trainer.devices is 2, and SLURM was started with --ntasks-per-node=4"),
        (SLURM, ("devices=4",), "trainer.num_nodes is 1, and SLURM was started with --nodes=2"),
        ({"SLURM_NTASKS": "8"}, ("devices=4",), "SLURM runs 8 tasks: give it --ntasks-per-node=4"),
        (torchrun_environment(0, 2, 1), ("devices=1",), "trainer.devices is 1, and torchrun was started with"),
        ({}, ("strategy=fsdp",), "trainer.strategy fsdp cannot run on a CPU: give fsdp2"),
        ({}, ("strategy=deepspeed_stage_3",), "trainer.strategy deepspeed_stage_3 cannot run on a CPU"),
        ({}, ("strategy=fsdp2", "precision=16-mixed"), "precision 16-mixed cannot run under fsdp2"),
        ({}, ("strategy=fsdp2",), "TinyModule trains whole: give ddp"),
        ({}, ("accelerator=npu",), "trainer.accelerator npu needs torch_npu"),
    ],
)  # fmt: skip
def test_one_line_before_anything_is_built(launcher, given, line, monkeypatch, capsys) -> None:
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    options = [f"--trainer.{setting}" for setting in given]
    assert line in error_of(capsys, "--config", "base.yaml", *options)
    assert not Path("runs").exists()


def test_a_launcher_that_agrees_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    strategy.check(settings(devices=4, num_nodes=2))
    (environment,) = strategy.trainer_arguments(settings(devices=4, num_nodes=2), 9)["plugins"]
    assert not environment.auto_requeue, "our own checkpoint would have a second one beside it"
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")  # torchrun under SLURM: its word counts
    for name, value in torchrun_environment(0, 4, 1).items():
        monkeypatch.setenv(name, value)
    strategy.check(settings(devices=4, num_nodes=1))


def test_one_timeout_for_every_strategy_by_name() -> None:
    strategy.register()
    for name, kind in (("ddp", DDPStrategy), ("fsdp2", FSDP2Strategy), ("auto", DDPStrategy)):
        chosen = strategy.trainer_arguments(settings(strategy=name, devices=2), 30)["strategy"]
        assert type(chosen) is kind and chosen._timeout == timedelta(seconds=30 + strategy.SLACK)
    assert chosen._ddp_kwargs == {"find_unused_parameters": True}
    assert strategy.trainer_arguments(settings(), 30) == {}


BROKEN = "raise ImportError('libhccl.so: cannot open shared object file')\n"
ENTRY = "[torch.backends]\ntorch_npu = torch_npu:_autoload\n"


def test_torch_npu_without_cann_is_one_line(tmp_path: Path) -> None:
    """With it installed, `import torch` itself fails, and so does everything here."""
    (tmp_path / "torch_npu.py").write_text(BROKEN)
    about = tmp_path / "torch_npu-2.13.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0\n")
    (about / "entry_points.txt").write_text(ENTRY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, str(ROOT / "train.py"), "--config", "base.yaml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "torch_npu is installed, and does not load: source CANN's set_env.sh" in line


@pytest.mark.parametrize("devices", [0, -3, "0", "-2", "a", "1,1", [0, 0], [], [-1], "1.5", ""])
@pytest.mark.parametrize("on_cpu", [True, False])
def test_invalid_devices_are_refused(devices: int | str | list[int], on_cpu: bool) -> None:
    with pytest.raises(ValueError, match="trainer.devices is .*: give"):
        strategy.check_devices(devices, on_cpu)


@pytest.mark.parametrize("devices", ["auto", -1, "-1", 1, 2, "2"])
def test_valid_devices_pass(devices: int | str) -> None:
    strategy.check_devices(devices, True)
    strategy.check_devices([0, 3], False)
    strategy.check_devices("0,3", False)
    strategy.check_devices("3,", False)


@pytest.mark.parametrize(
    ("devices", "message"), [([0, 1], "have no numbers"), ("0,1", "have no numbers"), (9999, "bear")]
)
def test_a_cpu_takes_a_few_processes_without_numbers(devices: int | str | list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strategy.check_devices(devices, True)
