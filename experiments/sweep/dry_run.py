"""Finds what would fail in every trial before one runs: `python -m experiments.sweep.dry_run SWEEP.yaml --out FILE`.

A process of its own, so that the sweep that waits for trials need not hold torch. It parses the base config with every
end and every choice of the space, then builds the middle of the space and runs a few batches; nothing is left behind.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from common.checks import suggest
from common.errors import user_errors
from common.files import write_text
from common.json_files import read_object
from common.paths import user_path
from experiments.processes import exit_if_asked, project_environment, run_lock, stop
from experiments.sweep.overlay import overlay
from experiments.sweep.recipe import Recipe, read_recipe
from experiments.sweep.space import candidates, midpoint

BATCHES = 4  # of training and of validation
STAGE_METRICS = ("train", "val")  # families of metrics that stages themselves log, and so a dry run too


def dry_run(recipe: Recipe, folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """All settings of the base config, once a dry run has passed, which is kept in the sweep's folder.

    Raises:
        ValueError: a trial would fail; the message says why.
    """
    kept = folder / "dry_run.json"
    if kept.is_file() and (found := read_object(kept)).get("fingerprint") == recipe.fingerprint:
        return found["settings"]
    report("checking that trials can run")
    found = _in_a_process(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder / "dry_run", wait=True):
        write_text(kept, json.dumps(found, indent=1) + "\n")
    return found["settings"]


def _in_a_process(recipe: Recipe) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        out, log = Path(scratch) / "dry_run.json", Path(scratch) / "dry_run.log"
        command = [sys.executable, "-m", "experiments.sweep.dry_run", str(recipe.path), "--out", str(out)]
        with log.open("wb") as err:
            process = subprocess.Popen(
                command, env=project_environment(), stdout=subprocess.DEVNULL, stderr=err
            )
            try:
                while process.poll() is None:
                    exit_if_asked()
                    time.sleep(0.1)
            finally:
                stop(process)
        if process.returncode == 0:
            return read_object(out)
        output = log.read_text(encoding="utf-8", errors="replace").strip()
    *_, last = output.splitlines() or [f"the dry run ended with exit code {process.returncode}"]
    if process.returncode != 2:  # a bug, of which its user needs to see all
        print(output, file=sys.stderr)
    raise ValueError(last.removeprefix("sweep.py: error: "))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line, given by `dry_run`."""
    parser = argparse.ArgumentParser(prog="experiments.sweep.dry_run")
    parser.add_argument("sweep", type=user_path)
    parser.add_argument("--out", type=user_path, required=True)
    options = parser.parse_args(arguments)
    with user_errors("sweep.py"), tempfile.TemporaryDirectory() as scratch:
        recipe = read_recipe(options.sweep)
        settings = _parse_all(recipe, Path(scratch))
        logged = _train_batches(recipe, settings, Path(scratch))
        _check_objective(recipe, logged)
        found = {"fingerprint": recipe.fingerprint, "settings": settings, "logged": sorted(logged)}
        write_text(options.out, json.dumps(found, indent=1) + "\n")


def _parse_all(recipe: Recipe, scratch: Path) -> dict[str, Any]:
    """All settings of the base, after every end and choice of the space has been parsed over them."""
    from train import parse
    from training.experiment import Experiment

    class Parsed(Experiment):
        """A command line that is read, and of which nothing is built."""

        def instantiate_classes(self) -> None:
            pass

    def parsed(*more: Path) -> dict[str, Any]:
        return Parsed(*parse(_arguments(recipe, scratch, *more))).settings

    settings = parsed()
    for values in candidates(recipe.space):
        parsed(_write(scratch, overlay(settings, {**recipe.fixed, **values}, recipe.path.name)))
    return settings


def _train_batches(recipe: Recipe, settings: dict[str, Any], scratch: Path) -> set[str]:
    """The metrics that a few batches log, with the middle of the space."""
    from train import train

    values = recipe.fixed | {key: midpoint(found) for key, found in recipe.space.items()}
    values |= {"trainer.enable_progress_bar": False, "trainer.fast_dev_run": BATCHES}
    config = _write(scratch, overlay(settings, values, recipe.path.name))
    return set(train(_arguments(recipe, scratch, config)).trainer.callback_metrics)


def _arguments(recipe: Recipe, scratch: Path, *more: Path) -> list[str]:
    configs = [argument for config in (*recipe.base, *more) for argument in ("--config", str(config))]
    return [*configs, "--runs_dir", str(scratch)]


def _write(scratch: Path, config: dict[str, Any]) -> Path:
    path = scratch / "dry_run.yaml"
    write_text(path, yaml.safe_dump(config))
    return path


def _check_objective(recipe: Recipe, logged: set[str]) -> None:
    """Raises ValueError where an objective is of a family that was logged, or should have been, without it."""
    for name in recipe.objective:
        family, slash, _ = name.partition("/")
        if name not in logged and (family in STAGE_METRICS or not slash):
            raise ValueError(
                f"{recipe.path.name}: the objective {name!r} is never logged: {suggest(name, logged)}"
            )


if __name__ == "__main__":
    main()
