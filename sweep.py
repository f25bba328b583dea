"""Many runs of train.py, chosen by Optuna: `python sweep.py --config sweeps/stage2.yaml`.

A sweep is a YAML file that names a base config, a search space and an objective. Every trial is a run of its own, in
runs/sweeps/NAME/trial-0000 and so on; hopeless ones are stopped early. Killed at any instant, the same command goes on;
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
from experiments.processes import exit_on_sigterm, run_lock
from training.configs import find_config

if TYPE_CHECKING:
    from optuna.study import Study

    from experiments.sweep.recipe import Recipe


def run(options: argparse.Namespace) -> "Study":
    """Works on a sweep until it is done, and writes its result."""
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("a sweep needs Optuna: pip install -e '.[sweep]'")
    path = find_config(options.config, Path.cwd())  # before Optuna is imported
    import optuna

    from experiments.sweep.dry_run import dry_run
    from experiments.sweep.recipe import read_recipe
    from experiments.sweep.result import best, table
    from experiments.sweep.store import SEARCH, Store
    from experiments.sweep.trial_run import Sweep
    from experiments.sweep.worker import Worker

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # trials are reported in our own lines
    recipe = read_recipe(path, options.storage)
    folder = options.runs_dir / "sweeps" / recipe.name
    if recipe.storage is not None or (folder / "study.db").exists():
        Store(recipe, folder).check(SEARCH, recipe.search)  # what can be refused at once
    settings = dry_run(recipe, folder, report)
    store = Store(recipe, folder)
    study = store.study(settings)

    def write() -> None:
        write_result(study, recipe, settings, folder)

    Worker(Sweep(recipe, settings, study, store, options.runs_dir, report, write)).work()
    write()
    print(table(study, recipe), end="")
    found = best(study)
    result = f"the best is trial {found.number}: {folder / 'best.yaml'}" if found else "no trial is complete"
    report(f"{result}; the page is {folder / 'report.html'}")
    return study


def write_result(study: "Study", recipe: "Recipe", settings: Mapping[str, Any], folder: Path) -> None:
    """The page, and the best config if a trial is complete; after every trial, so that a sweep can be looked at."""
    from experiments.sweep.page import write_sweep
    from experiments.sweep.result import best_config

    with run_lock(folder / "report", wait=True):  # others finish trials too
        config = best_config(study, recipe, settings)
        if config is not None:
            write_text(folder / "best.yaml", config)
        write_sweep(folder / "report.html", study, recipe)


def report(text: str) -> None:
    """Prints a line for whoever waits."""
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
    with user_errors("sweep.py"), exit_on_sigterm(at_once=False):
        return run(options)


if __name__ == "__main__":
    main()
