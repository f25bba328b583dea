"""Many runs of train.py, chosen by Optuna: `python sweep.py --config sweeps/stage2.yaml`.

A sweep is a YAML file that names a base config, a search space and an objective. Every trial is a run of its own, in
runs/sweeps/NAME/trial-0000 and so on; hopeless ones are ended early. Killed at any instant, the same command goes on, and
given again, here or on other machines that reach the store, it joins in.
"""

import argparse
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import Parser, user_errors
from common.files import write_text
from common.paths import path_or_name, user_path
from experiments.processes import ended_by_sigterm, run_lock
from training.configs import find_config

if TYPE_CHECKING:
    from optuna.study import Study

    from experiments.sweep.recipe import Recipe


def run(options: argparse.Namespace) -> "Study":
    """Works on a sweep until it is done, and writes what it found."""
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("a sweep needs Optuna: pip install -e '.[sweep]'")
    import optuna  # as little as possible before a mistyped name is told

    from experiments.sweep.dry_run import rehearse
    from experiments.sweep.recipe import read_recipe
    from experiments.sweep.store import ASKED, Store
    from experiments.sweep.worker import Worker

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # trials are told in our own lines
    recipe = read_recipe(find_config(options.config, Path.cwd()), options.storage)
    folder = options.runs_dir / "sweeps" / recipe.name
    if recipe.storage is not None or (folder / "study.db").exists():
        Store(recipe, folder).check(ASKED, recipe.asked)  # what can be refused at once
    settings = rehearse(recipe, folder, say)
    store = Store(recipe, folder)
    study = store.study(settings)
    worker = Worker(
        recipe, settings, study, store, options.runs_dir, say, lambda: write(study, recipe, settings, folder)
    )
    worker.work()
    write(study, recipe, settings, folder)
    tell(study, recipe, folder)
    return study


def write(study: "Study", recipe: "Recipe", settings: Mapping[str, Any], folder: Path) -> None:
    """The page, and the best config if a trial is complete; after every trial, so that a sweep can be looked at."""
    from experiments.sweep.page import write_sweep
    from experiments.sweep.result import best_config

    with run_lock(folder / "report", wait=True):  # others finish trials too
        config = best_config(study, recipe, settings)
        if config is not None:
            write_text(folder / "best.yaml", config)
        write_sweep(folder / "report.html", study, recipe)


def tell(study: "Study", recipe: "Recipe", folder: Path) -> None:
    """The table, and where the rest is."""
    from experiments.sweep.result import best, table

    print(table(study, recipe), end="")
    found = best(study)
    if found is None:
        say(f"no trial is complete; the page is {folder / 'report.html'}")
    else:
        say(f"the best is trial {found.number}: {folder / 'best.yaml'}; the page is {folder / 'report.html'}")


def say(text: str) -> None:
    """One line to whoever waits."""
    print(f"sweep.py: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> "Study":
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="sweep.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", required=True, help="a YAML file, as sweeps/stage2.yaml in configs/")
    parser.add_argument(
        "--storage",
        type=path_or_name,
        help="a database's URL or a journal file's path (default: the YAML's, or SQLite)",
    )
    parser.add_argument("--runs_dir", type=user_path, default=Path("runs"), help="default: runs")
    options = parser.parse_args(arguments)
    with user_errors("sweep.py"), ended_by_sigterm(at_once=False):
        return run(options)


if __name__ == "__main__":
    main()
