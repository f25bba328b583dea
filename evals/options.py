"""The options of `python -m evals`, which are the fields of the suites' settings."""

import argparse
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from common.errors import Parser
from common.paths import path_or_name, user_path
from evals.settings import (
    EmuEditSettings,
    FidelitySettings,
    FidSettings,
    GenAIBenchSettings,
    GenEvalSettings,
    MagicBrushSettings,
    PlaygroundSettings,
    Settings,
    option,
)
from models.device import DEVICES
from models.generation import SamplingConfig
from models.sampling_options import NAMES, add_sampling, given_sampling

SUITES: dict[str, type[Settings]] = {
    "playground": PlaygroundSettings,
    "geneval": GenEvalSettings,
    "fid": FidSettings,
    "mjhq": FidelitySettings,
    "rfid": FidelitySettings,
    "genai_bench": GenAIBenchSettings,
    "emu_edit": EmuEditSettings,
    "magicbrush": MagicBrushSettings,
}
DRAWING = (*NAMES, "batch")  # options of no use where nothing is drawn


def count(text: str) -> int:
    """An option's type: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


TYPES = {int: (count, "N"), float: (float, "X"), str: (path_or_name, "DIR"), Path: (user_path, "DIR")}


def flag(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


class SuiteParser(Parser):
    """Refuses options that the chosen suite does not have, or that have no effect."""

    suites: dict[str, list[str]]  # of each option that not every suite has

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses the command line."""
        options = super().parse_args(args, namespace)
        suite = options.suite
        given = [name for name, value in vars(options).items() if value is not None]
        for name in given:
            if suite not in self.suites.get(name, [suite]):
                self.error(f"{flag(name)} is an option of --suite {self.suites[name][0]}, not of {suite}")
        if options.model is None and suite in ("playground", "rfid"):
            self.error(f"--suite {suite} needs --model DIR, which it evaluates")
        if options.model is None and (idle := [name for name in given if name in DRAWING]):
            self.error(f"{flag(idle[0])} is of drawing, and nothing is drawn without --model DIR")
        if suite == "rfid" and (idle := [name for name in given if name in NAMES]):
            self.error(f"{flag(idle[0])} is of drawing prompts: --suite rfid only reconstructs")
        return options


@dataclass(frozen=True)
class CommandOptions:
    """What the command line has beside the settings of a suite."""

    model: Path | None = option(
        "model folder; without it, all but playground and rfid score images that are there", None
    )
    suite: str = option("default: playground", "playground", choices=tuple(SUITES))
    out: Path = option("default: report.json", Path("report.json"), metavar="FILE")
    images: Path | None = option("playground: contact sheets; others: folder of their images", None)
    seed: int = option("default: 0", 0, type=int)
    device: str = option("default: cpu", "cpu", choices=DEVICES)


def build_parser() -> SuiteParser:
    """The command line; a setting that is not given is None."""
    about = "Evaluates a model folder, or images (docs/use/evaluation.md). Two runs on a page: `python -m evals compare"
    about += " RUN RUN`; reports beside published figures: `python -m evals table REPORT...`."
    parser = SuiteParser(prog="python -m evals", description=about, allow_abbrev=False)
    for one in fields(CommandOptions):
        add_option(parser, one, get_type_hints(CommandOptions)[one.name], one.metadata["help"], one.default)
    sampling = parser.add_argument_group("how images are drawn; the report says how they were")
    add_sampling(sampling, "drawings, or of edits in emu_edit and magicbrush")
    settings: dict[str, dict[str, Field]] = {}
    for suite, kind in SUITES.items():
        for one in fields(kind):
            if one.name not in ("seed", "sampling"):
                settings.setdefault(one.name, {})[suite] = one
    groups: dict[str, argparse._ArgumentGroup] = {}
    parser.suites = {}
    for name, of in sorted(settings.items(), key=lambda item: -len(item[1])):
        title = f"--suite {', '.join(of)}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        added = len(parser._actions)
        suite, one = next(iter(of.items()))
        add_option(groups[title], one, get_type_hints(SUITES[suite])[name], _join_help(of))
        parser.suites |= {action.dest: list(of) for action in parser._actions[added:]}
    return parser


def _join_help(suites: Mapping[str, Field]) -> str:
    """The help of a setting, which may differ from suite to suite."""
    helps: dict[str, list[str]] = {}
    for suite, field in suites.items():
        helps.setdefault(field.metadata["help"], []).append(suite)
    return "; ".join(text if len(helps) == 1 else f"{', '.join(of)}: {text}" for text, of in helps.items())


def add_option(
    group: argparse._ActionsContainer, one: Field, hint: Any, text: str, default: Any = None
) -> None:
    """Adds the option of a field, whose annotation is `hint`."""
    kind = next(iter(get_args(hint)), hint)  # of Path | None, Path
    about: dict[str, Any] = {"help": text, "default": default}
    if kind is SamplingConfig:
        add_sampling(group, "edits", one.name.removesuffix("sampling").replace("_", "-"))
        return
    if kind is bool:
        about["action"] = "store_true"
    elif "choices" not in one.metadata["argparse"]:
        about["type"], about["metavar"] = TYPES[kind]
    group.add_argument(flag(one.name), **about | one.metadata["argparse"])


def read_settings(options: argparse.Namespace) -> Settings:
    """The settings of the chosen suite. Raises ValueError if one is missing, or they do not fit each other."""
    kind = SUITES[options.suite]
    given: dict[str, Any] = {"seed": options.seed, "sampling": given_sampling(options)}
    missing = ["--images"] if options.images is None and options.suite != "playground" else []
    for one in fields(kind):
        if one.name == "edit_sampling":
            given[one.name] = given_sampling(options, "edit_")
        elif one.name not in given and (value := getattr(options, one.name)) is not None:
            given[one.name] = value
        required = one.default is MISSING and one.default_factory is MISSING
        if one.name not in given and (required or options.model and one.metadata["drawing"]):
            missing.append(flag(one.name))
    if missing:
        raise ValueError(f"--suite {options.suite} needs {' and '.join(missing)}")
    if options.suite == "fid" and options.prompts is not None and options.model is None:
        raise ValueError("--prompts says what to draw: give --model DIR as well, or leave it out")
    return kind(**given)
