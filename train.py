"""Trains one stage: `python train.py --config stage2.yaml`.

A config is found by its bare name beside the caller, in configs/ or in configs/playground/. `extends:` in it
names those it starts from, a second --config is laid over the first, and any setting can be given as
`--trainer.max_steps 300`. The run lives in runs/<name>/: the same command resumes it if it was cut off, and leaves it
alone if it is done.

`python train.py validate --config ...` evaluates instead; so do test and predict.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common.errors import user_errors
from common.names import suggest
from common.paths import expand_home
from common.safe_yaml import check_bounds, read_yaml
from common.signals import Stopped
from training.plan.options import Options, take_plan

if TYPE_CHECKING:
    from training.experiment import Experiment, ModulesOnly

# Threads that wait must soon sleep: if they spin for long, any other busy program slows training down several times.
# GNU OpenMP looks at this once, when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

ACTIONS = ("fit", "validate", "test", "predict")
CONFIGS = Path(__file__).resolve().parent / "configs"
PLACES = (CONFIGS, CONFIGS / "playground")
MAX_EXTENDS = 50
GROUPS = ("trainer", "checkpoint", "speed", "track")  # of settings in a config


class Command(NamedTuple):
    """A command line whose config names have become paths."""

    action: str
    default_name: str
    args: list[str]


def find_config(name: str, beside: Path, asker: str = "--config") -> Path:
    """The config file called `name` in the folder `beside`, in configs/ or in configs/playground/."""
    name = expand_home(name, asker)
    for place in (beside, *PLACES):
        if name and (place / name).is_file():
            return (place / name).resolve()
    raise FileNotFoundError(
        f"{asker} names {name!r}, and there is no such config: {suggest(name, known_configs())}"
    )


def known_configs() -> list[str]:
    """The names that --config takes wherever the caller stands."""
    names = []
    for path in sorted(CONFIGS.rglob("*.yaml")):
        short = path.parent in PLACES and find_config(path.name, CONFIGS) == path
        names.append(path.name if short else path.relative_to(CONFIGS).as_posix())
    return names


def known_stages() -> list[str]:
    """Of the known configs those that train by themselves: not what is laid over others, nor what they start from."""
    apart = ("mixtures/", "sweeps/", "ablations/")
    names = [
        name for name in known_configs() if not name.startswith(apart) and Path(name).name != "base.yaml"
    ]
    return [name for name in names if names_model(expand(find_config(name, CONFIGS)))]


def expand(path: Path, above: tuple[Path, ...] = (), done: set[Path] | None = None) -> list[Path]:
    """A config's parents, oldest first, then itself; each once, where it first stands.

    Raises:
        ValueError: one is no config, or `extends` runs in a circle or too deep.
        FileNotFoundError: one is not there.
    """
    done = set() if done is None else done
    if path in above:
        circle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
        raise ValueError(f"'extends' runs in a circle: {circle}")
    if len(above) > MAX_EXTENDS:
        raise ValueError(f"{path}: 'extends' leads more than {MAX_EXTENDS} configs deep")
    content = read_config(path)
    if "arms" in content:
        name = path.relative_to(CONFIGS).as_posix() if path.is_relative_to(CONFIGS) else path
        raise ValueError(
            f"{path.name} is an ablation, of several arms: run `python -m experiments.ablate {name}`"
        )
    if "space" in content and "base" in content:
        raise ValueError(f"{path.name} is a sweep, of many trials: run `python sweep.py --config {path}`")
    paths = []
    for name in _parents(content, path):
        parent = find_config(name, path.parent, f"'extends' in {path.name}")
        if parent not in done:
            paths += expand(parent, (*above, path), done)
    done.add(path)
    return [*paths, path]


def _parents(content: dict[str, Any], path: Path) -> list[str]:
    parents = content.get("extends") or []
    names = [parents] if isinstance(parents, str) else parents
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{path}: extends is {parents!r}, and must be the name of a config, or a list of names"
        )
    return names


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a config file.

    Raises:
        ValueError: it is no YAML of settings.
    """
    content = read_yaml(path)
    try:  # Lightning's parser reads it once more, and that as UTF-8
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8: save it as UTF-8") from None
    if content is not None and not isinstance(content, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, not a {type(content).__name__}")
    for group in GROUPS:
        if not isinstance((content or {}).get(group, {}), dict):
            raise ValueError(f"{path}: {group} must hold 'key: value' lines, not {content[group]!r}")
    return content or {}


def names_model(paths: Iterable[Path]) -> bool:
    """Whether configs that are laid over each other name what is trained; what names nothing is laid over a stage."""
    return any("model" in (content := read_config(path)) and _is_class(content["model"]) for path in paths)


def _is_class(model: Any) -> bool:
    return isinstance(model, str) or (isinstance(model, dict) and "class_path" in model)


def parse(argv: list[str]) -> Command:
    """Takes the action and the configs out of a command line, and finds the configs."""
    action, rest = (argv[0], argv[1:]) if argv and argv[0] in ACTIONS else ("fit", argv)
    if rest and not rest[0].startswith("-"):
        raise ValueError(f"there is no action {rest[0]!r}: {suggest(rest[0], ACTIONS)}")
    names: list[str] = []
    others: list[str] = []
    words = iter(rest)
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("-c", "--config"):
            names.append(value if equals else next(words, ""))
        else:
            others.append(word)
    for word in others:
        check_bounds(
            word[word.find("=") + 1 :] if word.startswith("-") else word, word.partition("=")[0][:40]
        )
    if not names and not {"-h", "--help"} & set(others):
        raise ValueError(
            f"say what to train with --config NAME; there is {', '.join(known_stages()) or 'none'}"
        )
    named = [find_config(name, Path.cwd()) for name in names]
    # a parent that two configs share must not be laid over the first of them again
    unique = dict.fromkeys(path for path in named for path in expand(path))
    if named and not names_model(unique) and not any("--model" in other for other in others):
        raise ValueError(
            f"{named[0].name} is laid over a stage: give --config STAGE.yaml --config {named[0].name}; "
            f"there is {', '.join(known_stages())}"
        )
    args = [arg for path in unique for arg in ("--config", str(path))]
    return Command(action, Path(names[0]).stem if names else "run", args + others)


def train(argv: list[str]) -> "Experiment":
    """Builds and runs what a command line says. Raises what goes wrong; `main` turns that into a line."""
    options, argv = take_plan(argv)
    command = parse(argv)
    if options is not None:
        return make_plan(command, argv, options)
    from training.experiment import Experiment

    run = Experiment(*command)
    if run.trainer is None:
        say(f"run {run.config.name!r} is finished, see {run.folder}; --name OTHER makes another one")
        return run
    speaks = run.trainer.is_global_zero and command.action == "fit" and not run.trial
    if run.resume.note and run.trainer.is_global_zero:
        say(run.resume.note)
    if run.resume.path and speaks:
        say(f"run {run.config.name!r} goes on from step {run.resume.step}")
    run.execute()
    if speaks:
        say(f"run {run.config.name!r} is finished at step {run.trainer.global_step}, see {run.folder}")
    return run


def make_plan(command: Command, argv: list[str], options: Options) -> "ModulesOnly":
    """Prints what a run would take, and leaves it at that."""
    if command.action != "fit":
        raise ValueError(f"--plan plans training: leave out {command.action}")
    from training.plan.command import planned

    made = sketch(argv)
    print(planned(made, sketch, argv, options))
    return made


def sketch(argv: list[str]) -> "ModulesOnly":
    """A command line whose module and data are made, and nothing more."""
    command = parse(argv)
    from training.experiment import ModulesOnly

    return ModulesOnly(*command)


def say(text: str) -> None:
    """One line to whoever started the run."""
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
