"""Trains one stage: `python train.py --config stage2.yaml`.

A config is found by its bare name in the current folder, in configs/ or in configs/playground/. `extends:` in it names
those it starts from, a second --config is laid over the first, and any setting can be given as `--trainer.max_steps 300`.
The run is written to runs/<name>/: the same command resumes it if it was cut off, and leaves it alone if it is finished.

`python train.py validate --config ...` evaluates instead; so do test and predict. `--help CLASS` shows the settings of a
stage, a data module or a callback.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from common.checks import suggest
from common.errors import user_errors
from common.safe_yaml import check_bounds
from common.signals import Stopped
from training.configs import Settings, expand, find_config, has_model, known_stages
from training.plan.options import Options, parse_plan_options

if TYPE_CHECKING:
    from training.experiment import Experiment, ModulesOnly

# Threads that wait must soon sleep: if they spin for long, any other busy program slows training down several times.
# GNU OpenMP looks at this once, when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

ACTIONS = ("fit", "validate", "test", "predict")


class Command(NamedTuple):
    """A command line whose config names have become paths."""

    action: str
    default_name: str
    args: list[str]


def parse(argv: list[str]) -> Command:
    """Takes the action and the configs out of a command line, and finds the configs."""
    action, rest = (argv[0], argv[1:]) if argv and argv[0] in ACTIONS else ("fit", argv)
    if rest and not rest[0].startswith("-"):
        raise ValueError(f"there is no action {rest[0]!r}: {suggest(rest[0], ACTIONS)}")
    names: list[str] = []
    others: list[str] = []
    arguments = iter(rest)
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option in ("-c", "--config"):
            names.append(value if equals else next(arguments, ""))
        else:
            others.append(argument)
            check_bounds(value if equals and option.startswith("-") else argument, option[:40])
    if not names and not {"-h", "--help"} & set(others):
        raise ValueError(
            f"say what to train with --config NAME; there is {', '.join(known_stages()) or 'none'}"
        )
    paths, configs = [find_config(name, Path.cwd()) for name in names], dict[Path, Settings]()
    for path in paths:
        expand(path, configs)
    if paths and not has_model(configs.values()) and not any("--model" in other for other in others):
        raise ValueError(
            f"{paths[0].name} is laid over a stage: give --config STAGE.yaml --config {paths[0].name}; "
            f"there is {', '.join(known_stages())}"
        )
    args = [argument for path in configs for argument in ("--config", str(path))]
    return Command(action, Path(names[0]).stem if names else "run", args + others)


def train(argv: list[str]) -> "Experiment":
    """Builds and runs what a command line names. `main` reports errors in one line."""
    if (class_name := _class_of_help(argv)) is not None:
        from training.class_help import class_help

        print(class_help(class_name))
        raise SystemExit(0)
    options, argv = parse_plan_options(argv)
    command = parse(argv)
    if options is not None:
        return make_plan(command, argv, options)
    from training.experiment import Experiment

    run = Experiment(*command)
    if run.trainer is None:
        say(f"run {run.config.name!r} is finished, see {run.folder}; --name OTHER makes another one")
        return run
    is_first = run.trainer.is_global_zero
    reports = is_first and command.action == "fit" and not run.is_fast_dev_run
    if run.resume.note and is_first:
        say(run.resume.note)
    if run.resume.path and reports:
        say(f"run {run.config.name!r} goes on from step {run.resume.step}")
    run.execute()
    if reports:
        say(f"run {run.config.name!r} is finished at step {run.trainer.global_step}, see {run.folder}")
    return run


def _class_of_help(argv: list[str]) -> str | None:
    """The class in `--help CLASS`."""
    for option, value in zip(argv, argv[1:], strict=False):
        if option in ("-h", "--help") and not value.startswith("-"):
            return value
    return None


def make_plan(command: Command, argv: list[str], options: Options) -> "ModulesOnly":
    """Prints the parameters, memory and hours of a run, without running it."""
    if command.action != "fit":
        raise ValueError(f"--plan plans training: leave out {command.action}")
    from training.plan.report import plan_report

    made = build_modules(argv)
    print(plan_report(made, build_modules, argv, options))
    return made


def build_modules(argv: list[str]) -> "ModulesOnly":
    """Builds the LightningModule and the data module of a command line, and nothing more."""
    command = parse(argv)
    from training.experiment import ModulesOnly

    return ModulesOnly(*command)


def say(text: str) -> None:
    """Prints one line to stderr."""
    print(f"train.py: {text}", file=sys.stderr)


def main(argv: list[str] | None = None) -> "Experiment":
    """Runs a command line and returns what it built. A user's error is one line and exit code 2."""
    try:
        with user_errors("train.py"):
            return train(sys.argv[1:] if argv is None else list(argv))
    except Stopped as stop:
        say(f"stopped ({stop.reason}); the same command goes on from here")
        raise SystemExit(stop.code) from None
    except SystemExit as stop:
        if stop.code == 130:
            say(
                "stopped at once; the same command goes on from the last checkpoint, or anew where there is none"
            )
        raise


if __name__ == "__main__":
    main()
