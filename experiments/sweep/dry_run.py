"""What would go wrong in every trial goes wrong here first: `python -m experiments.sweep.dry_run SWEEP.yaml --out FILE`.

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
from typing import TYPE_CHECKING, Any

import yaml

from common.checks import suggest
from common.errors import user_errors
from common.files import write_text
from common.json_files import read_object
from common.paths import user_path
from experiments.processes import end, project_environment, run_lock, stop_if_asked
from experiments.sweep.overlay import overlay
from experiments.sweep.recipe import Recipe, read_recipe
from experiments.sweep.space import candidates, middle

if TYPE_CHECKING:
    from training.experiment import Experiment

BATCHES = 4  # of training and of validation
BY_MODULES = (
    "train",
    "val",
)  # families of metrics that are logged by stages themselves, and so in a rehearsal too


def rehearse(recipe: Recipe, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """All settings of the base config, once a rehearsal has found nothing wrong; one that was made is not made again.

    Args:
        recipe: the sweep.
        folder: of the sweep, where rehearsal.json is kept.
        say: tells a line to whoever waits.

    Raises:
        ValueError: a trial would fail; says why.
    """
    kept = folder / "rehearsal.json"
    if kept.is_file() and (found := read_object(kept)).get("of") == recipe.stamp:
        return found["settings"]
    say("looking whether trials can run")
    found = _rehearsed(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder / "rehearsal", wait=True):
        write_text(kept, json.dumps(found, indent=1) + "\n")
    return found["settings"]


def _rehearsed(recipe: Recipe) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        out, log = Path(scratch) / "rehearsal.json", Path(scratch) / "rehearsal.log"
        words = [sys.executable, "-m", "experiments.sweep.dry_run", str(recipe.path), "--out", str(out)]
        with log.open("wb") as err:
            process = subprocess.Popen(
                words, env=project_environment(), stdout=subprocess.DEVNULL, stderr=err
            )
            try:
                while process.poll() is None:
                    stop_if_asked()
                    time.sleep(0.1)
            finally:
                end(process)
        if process.returncode == 0:
            return read_object(out)
        told = log.read_text(encoding="utf-8", errors="replace").strip()
    *_, last = told.splitlines() or [f"the rehearsal ended with exit code {process.returncode}"]
    if process.returncode != 2:  # a bug, of which its user needs to see all
        print(told, file=sys.stderr)
    raise ValueError(last.removeprefix("sweep.py: error: "))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line, given by `rehearse`."""
    parser = argparse.ArgumentParser(prog="experiments.sweep.dry_run")
    parser.add_argument("sweep", type=user_path)
    parser.add_argument("--out", type=user_path, required=True)
    options = parser.parse_args(arguments)
    with user_errors("sweep.py"), tempfile.TemporaryDirectory() as scratch:
        recipe = read_recipe(options.sweep)
        settings = _parsed(recipe, Path(scratch))
        logged = _run(recipe, settings, Path(scratch))
        _check_objective(recipe, logged)
        found = {"of": recipe.stamp, "settings": settings, "logged": sorted(logged)}
        write_text(options.out, json.dumps(found, indent=1) + "\n")


def _parsed(recipe: Recipe, scratch: Path) -> dict[str, Any]:
    """All settings of the base, after every end and choice of the space has been parsed over them."""
    from training.experiment import Experiment

    class Parsed(Experiment):
        """A command line that is read, and of which nothing is built."""

        def instantiate_classes(self) -> None:
            pass

    words = [word for base in recipe.base for word in ("--config", str(base))]
    settings = _settings(Parsed, words, scratch)
    where = recipe.path.name
    for values in candidates(recipe.space):
        path = _written(scratch, overlay(settings, {**recipe.fixed, **values}, where))
        _settings(Parsed, [*words, "--config", str(path)], scratch)
    return settings


def _settings(parsed: type["Experiment"], words: list[str], scratch: Path) -> dict[str, Any]:
    from train import parse

    return parsed(*parse([*words, "--runs_dir", str(scratch)])).settings


def _run(recipe: Recipe, settings: dict[str, Any], scratch: Path) -> set[str]:
    """The metrics that a few batches log, with the middle of the space."""
    from train import train

    values = recipe.fixed | {key: middle(found) for key, found in recipe.space.items()}
    values |= {"trainer.enable_progress_bar": False, "trainer.fast_dev_run": BATCHES}
    path = _written(scratch, overlay(settings, values, recipe.path.name))
    words = [word for config in (*recipe.base, path) for word in ("--config", str(config))]
    return set(train([*words, "--runs_dir", str(scratch)]).trainer.callback_metrics)


def _written(scratch: Path, config: dict[str, Any]) -> Path:
    path = scratch / "rehearsal.yaml"
    write_text(path, yaml.safe_dump(config))
    return path


def _check_objective(recipe: Recipe, logged: set[str]) -> None:
    """Raises ValueError where an objective is of a family that was logged, or should have been, without it."""
    for name in recipe.objective:
        family, slash, _ = name.partition("/")
        if name not in logged and (family in BY_MODULES or not slash):
            raise ValueError(
                f"{recipe.path.name}: the objective {name!r} is never logged: {suggest(name, logged)}"
            )


if __name__ == "__main__":
    main()
