"""Options of commands that draw: --cfg, --temperature, --top-k and --top-p, laid over the model folder's settings."""

import argparse
from collections.abc import Callable
from typing import Any

from models.generation import RANGES, WHOLE, SamplingConfig, check_setting

NAMES = tuple(RANGES)  # cfg, temperature, top_k, top_p


def sampling_number(name: str) -> Callable[[str], Any]:
    """An option's type: one sampling setting in its range."""

    def convert(text: str) -> Any:
        try:
            value = int(text) if name in WHOLE else float(text)
        except ValueError:
            what = "a whole number" if name in WHOLE else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}: {RANGES[name][0]}") from None
        try:
            return check_setting(name, value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text} is out of range: {RANGES[name][0]}") from error

    return convert


def add_sampling(group: argparse._ActionsContainer, of: str = "drawings", prefix: str = "") -> None:
    """Adds the four options to a parser or a group of it, with a prefix such as "edit-"; the help says what of."""
    for name in NAMES:
        group.add_argument(
            f"--{prefix}{name.replace('_', '-')}",
            type=sampling_number(name),
            metavar="N" if name in WHOLE else "X",
            help=f"of {of}: {RANGES[name][0]} (default: the model folder's)",
        )


def given_sampling(options: argparse.Namespace, prefix: str = "") -> SamplingConfig:
    """The settings that a command line gives."""
    return SamplingConfig(**{name: getattr(options, f"{prefix}{name}", None) for name in NAMES})
