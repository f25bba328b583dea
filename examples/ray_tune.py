"""The sweep of configs/sweeps/language.yaml with Ray Tune: `python -m examples.ray_tune [--trials 12]`, in the root.

    pip install "ray[tune]"

Each trial is a run of train.py in a process of its own, whose metrics.csv is reported to Ray; ASHA ends those that fall
behind. sweep.py has more: checks before work is spent, going on after a kill, the page.
"""

import argparse
import subprocess
import sys
import time
from typing import Any

from experiments.processes import ROOT, project_environment, stop
from experiments.sweep.pruning import Metrics

METRIC = "val/loss"


def trial(values: dict[str, Any]) -> None:
    """One trial, called by Ray in a worker's folder: values by dotted key of train.py."""
    from ray import tune

    name = f"ray/{tune.get_context().get_trial_id()}"
    options = [f"--{key}={value}" for key, value in values.items()]
    command = [sys.executable, str(ROOT / "train.py"), "--config", "language.yaml", "--name", name, *options]
    process = subprocess.Popen(command, cwd=ROOT, env=project_environment())
    metrics, reported = Metrics(ROOT / "runs" / name), 0
    try:
        while True:
            over = process.poll() is not None  # looked at first, so that what is logged last is reported
            for step, value in metrics.of(METRIC)[reported:]:
                tune.report({METRIC: value, "step": step})
                reported += 1
            if over:
                break
            time.sleep(1)
    finally:
        stop(process)  # where ASHA has raised in tune.report
    if process.returncode:
        raise RuntimeError(f"train.py ended with exit code {process.returncode}")


def main() -> None:
    """The command line."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    options = parser.parse_args()
    space = {
        "model.init_args.learning_rates.trunk": tune.loguniform(1e-4, 3e-2),
        "model.init_args.learning_rates.text": tune.loguniform(1e-4, 3e-2),
        "model.init_args.warmup_steps": tune.randint(5, 31),
        "trainer.max_steps": 40,
        "trainer.enable_progress_bar": False,
        "data.init_args.batches_per_epoch": 8,
        "data.init_args.sequences_per_batch": 6,
    }
    scheduler = ASHAScheduler(time_attr="step", max_t=40, grace_period=15)
    settings = tune.TuneConfig(metric=METRIC, mode="min", num_samples=options.trials, scheduler=scheduler)
    found = tune.Tuner(trial, param_space=space, tune_config=settings).fit().get_best_result()
    print(found.config, found.metrics[METRIC])


if __name__ == "__main__":
    main()
