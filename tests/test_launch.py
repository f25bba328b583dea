"""The launch scripts, with programs that stand in for python, srun and scontrol."""

import os
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
RECORD = '#!/bin/sh\necho "$(basename $0) $*" >> calls\n'


def launch(folder: Path, script: str, *arguments: str, **settings: str) -> tuple[int, list[str]]:
    """Exit code of a script, and what the programs that it called were called with."""
    for name, code in (("python", 0), ("srun", settings.pop("CODE", 0)), ("scontrol", 0)):
        (folder / name).write_text(f"{RECORD}exit {code}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHON": str(folder / "python"), **settings}
    done = subprocess.run(
        [LAUNCH / script, *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [done.stderr]


def test_torchrun_on_one_machine_and_on_several(tmp_path: Path) -> None:
    code, (call,) = launch(tmp_path, "torchrun.sh", "--config", "stage2.yaml", DEVICES="8")
    train = f"{LAUNCH.parent}/train.py --config stage2.yaml --trainer.devices=8"
    run = "python -m torch.distributed.run"
    assert code == 0
    assert call == (
        f"{run} --nnodes 1 --nproc-per-node 8 --standalone --max-restarts 0 {train} --trainer.num_nodes=1"
    )
    (tmp_path / "calls").unlink()
    settings = {"NODES": "4", "HEAD": "node0", "DEVICES": "8", "RESTARTS": "3"}
    _, (call,) = launch(tmp_path, "torchrun.sh", "--config", "stage2.yaml", **settings)
    assert "--nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint node0:29500" in call
    assert "--max-restarts 3" in call and call.endswith(f"{train} --trainer.num_nodes=4")
    (tmp_path / "calls").unlink()
    code, (call,) = launch(tmp_path, "torchrun.sh", NODES="4", DEVICES="8")
    assert code != 0 and "name one of the machines: HEAD=node0" in call


@pytest.mark.parametrize(
    ("code", "before", "again"),
    [(0, 0, False), (2, 0, False), (75, 0, True), (143, 3, True), (137, 20, False)],
)
def test_slurm_requeues_what_can_be_resumed(code: int, before: int, again: bool, tmp_path: Path) -> None:
    job = {
        "SLURM_NTASKS_PER_NODE": "8",
        "SLURM_NNODES": "32",
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": "/shared",
    }
    job |= {"SLURM_RESTART_COUNT": str(before), "CODE": str(code)}
    ended, calls = launch(tmp_path, "slurm.sbatch", "--config", "stage2.yaml", **job)
    assert ended == code
    assert calls[0].startswith("srun --kill-on-bad-exit=1 ")
    assert calls[0].endswith(
        "/shared/train.py --config stage2.yaml --trainer.devices=8 --trainer.num_nodes=32"
    )
    assert calls[1:] == (["scontrol requeue 7"] if again else [])
