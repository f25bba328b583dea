"""An environment in which a sweep takes seconds: a `train.py` that only writes metrics, and a sweep over its rate."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

import sweep
from experiments import processes
from experiments.sweep import claims, dry_run, page, store, trial_run, worker

ROOT = Path(sweep.__file__).parent
STEPS = 8
COMMAND = ["--config", "small.yaml"]
WRITE_SWEEP = page.write_sweep
SETTINGS = {
    "seed_everything": 0,
    "trainer": {"max_steps": STEPS, "enable_progress_bar": True},
    "model": {
        "class_path": "Stage",
        "init_args": {"lr": 0.1, "learning_rates": {"trunk": 0.1, "text": 0.1}, "seconds": 0.0},
    },
}
BASE = "# A stage.\nname: stage\n"
SWEEP = """# Twelve trials.
base: stage.yaml
space:
  model.lr: {type: float, low: 1.0e-4, high: 1.0, log: true}
  model.init_args.learning_rates.trunk: {type: float, low: 0.0, high: 1.0}
objective: {val/loss: minimize}
sampler: {class: TPESampler, args: {n_startup_trials: 4}}
pruner: {class: MedianPruner, args: {n_startup_trials: 4, n_warmup_steps: 1}}
trials: 12
"""
# Its loss is best at a rate of 1e-2, falls with every step, and is the same whenever it is measured.
TRAIN = """import csv, json, math, os, sys, time
from pathlib import Path
import yaml
config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
folder = Path(sys.argv[sys.argv.index("--runs_dir") + 1]) / config["name"]
given = config["model"]["init_args"]
metrics = folder / "metrics.csv"
done = len(metrics.read_text().splitlines()) - 1 if metrics.is_file() else 0
with open(folder.parent / "starts.log", "a") as log:
    log.write(json.dumps({"trial": folder.name, "pid": os.getpid(), "from": done}) + "\\n")
if (folder / "finished.json").exists():
    sys.exit()
if given["lr"] > float(os.environ.get("CRASH_ABOVE", "inf")):
    sys.exit("train.py: error: the rate is too high")
folder.mkdir(exist_ok=True)
name = os.environ.get("LOGS", "val/loss")
if not done:
    metrics.write_text("step," + name + "\\n")
for step in range(done, STEPS):
    time.sleep(given.get("seconds") or float(os.environ.get("SECONDS", "0.02")))
    loss = (math.log10(given["lr"]) + 2) ** 2 + 0.1 * given["learning_rates"]["trunk"] + 1 / (step + 1)
    with open(metrics, "a") as file:
        file.write(f"{step},{loss!r}\\n")
(folder / "finished.json").write_text("{}")
"""
WRAPPER = """import sys
sys.path.insert(0, {root!r})
import sweep
from pathlib import Path
from experiments import processes
from experiments.sweep import claims, dry_run, page, trial_run, worker
processes.ROOT = Path({folder!r})
dry_run.dry_run = lambda recipe, folder, report: {settings!r}
page.write_sweep = lambda path, study, recipe: path
trial_run.POLL = worker.WAIT = 0.05
sweep.main(sys.argv[1:])
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a stage, a sweep of it, and a training that takes a fifth of a second."""
    monkeypatch.chdir(tmp_path)
    for name in ("TRACEBACK", "LOGS", "CRASH_ABOVE", "SECONDS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "stage.yaml").write_text(BASE)
    (tmp_path / "small.yaml").write_text(SWEEP)
    (tmp_path / "train.py").write_text(TRAIN.replace("STEPS", str(STEPS)))
    (tmp_path / "wrapper.py").write_text(
        WRAPPER.format(root=str(ROOT), folder=str(tmp_path), settings=SETTINGS)
    )
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setattr(dry_run, "dry_run", lambda recipe, folder, report: SETTINGS)
    monkeypatch.setattr(page, "write_sweep", lambda path, study, recipe: path)  # its plots take a second
    monkeypatch.setattr(trial_run, "POLL", 0.02)
    monkeypatch.setattr(worker, "WAIT", 0.02)
    monkeypatch.setattr(claims, "SETTLE", 0.0)
    monkeypatch.setattr(store, "SETTLE", 0.0)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return tmp_path


@pytest.fixture
def with_page(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has sweeps write their page."""
    monkeypatch.setattr(page, "write_sweep", WRITE_SWEEP)


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen:
    """The sweep as a process, with its trainings in a session of their own, which can be killed."""
    return subprocess.Popen(
        [sys.executable, str(folder / "wrapper.py"), "--config", "small.yaml", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def starts(folder: Path, name: str = "small") -> list[dict]:
    """Every start of a training: trial, pid and the step it began at."""
    log = folder / "runs/sweeps" / name / "starts.log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def wait_for(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    """Waits for something that a sweep does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def study_of(folder: Path, storage: str = "", name: str = "small") -> optuna.Study:
    """A sweep's study."""
    return optuna.load_study(
        study_name=name, storage=storage or f"sqlite:///{folder / 'runs/sweeps' / name / 'study.db'}"
    )


def outcomes(study: optuna.Study) -> list[tuple]:
    """The outcome of every trial."""
    return [
        (t.number, t.state.name, t.params, t.values, sorted(t.intermediate_values.items()))
        for t in study.get_trials(deepcopy=False)
    ]


def error_of(capsys: pytest.CaptureFixture, *words: str) -> str:
    """The one line that a wrong sweep ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        sweep.main(["--config", "small.yaml", *words])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
