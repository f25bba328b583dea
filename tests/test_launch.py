"""The launch scripts, with programs that stand in for python, srun and scontrol."""

import os
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
SAYS = '#!/bin/sh\necho "$(basename $0) $*" >> said\n'


def launch(folder: Path, script: str, *words: str, **settings: str) -> tuple[int, list[str]]:
    """Exit code of a script, and what the programs that it called were called with."""
    for name, code in (("python", 0), ("srun", settings.pop("CODE", 0)), ("scontrol", 0)):
        (folder / name).write_text(f"{SAYS}exit {code}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHON": str(folder / "python"), **settings}
    done = subprocess.run(
        [LAUNCH / script, *words], env=environment, cwd=folder, capture_output=True, text=True
    )
    said = folder / "said"
    return done.returncode, said.read_text().splitlines() if said.exists() else [done.stderr]


def test_torchrun_on_one_machine_and_on_several(tmp_path: Path) -> None:
    code, (said,) = launch(tmp_path, "torchrun.sh", "--config", "stage2.yaml", DEVICES="8")
    train = f"{LAUNCH.parent}/train.py --config stage2.yaml --trainer.devices=8"
    run = "python -m torch.distributed.run"
    assert code == 0
    assert said == (
        f"{run} --nnodes 1 --nproc-per-node 8 --standalone --max-restarts 0 {train} --trainer.num_nodes=1"
    )
    (tmp_path / "said").unlink()
    settings = {"NODES": "4", "HEAD": "node0", "DEVICES": "8", "RESTARTS": "3"}
    _, (said,) = launch(tmp_path, "torchrun.sh", "--config", "stage2.yaml", **settings)
    assert "--nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint node0:29500" in said
    assert "--max-restarts 3" in said and said.endswith(f"{train} --trainer.num_nodes=4")
    (tmp_path / "said").unlink()
    code, (said,) = launch(tmp_path, "torchrun.sh", NODES="4", DEVICES="8")
    assert code != 0 and "name one of the machines: HEAD=node0" in said


@pytest.mark.parametrize(
    ("code", "before", "again"),
    [(0, 0, False), (2, 0, False), (75, 0, True), (143, 3, True), (137, 20, False)],
)
def test_slurm_queues_again_what_can_go_on(code: int, before: int, again: bool, tmp_path: Path) -> None:
    job = {
        "SLURM_NTASKS_PER_NODE": "8",
        "SLURM_NNODES": "32",
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": "/shared",
    }
    job |= {"SLURM_RESTART_COUNT": str(before), "CODE": str(code)}
    ended, said = launch(tmp_path, "slurm.sbatch", "--config", "stage2.yaml", **job)
    assert ended == code
    assert said[0].startswith("srun --kill-on-bad-exit=1 ")
    assert said[0].endswith(
        "/shared/train.py --config stage2.yaml --trainer.devices=8 --trainer.num_nodes=32"
    )
    assert said[1:] == (["scontrol requeue 7"] if again else [])
