"""What all benchmarks share: a command line made of a function, alternating measurements, printed findings."""

import inspect
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import docstring_parser

from common.errors import Parser, user_errors
from common.paths import path_or_name, user_path
from common.settings import flatten


def run(
    measure: Callable[..., dict[str, Any]], *packages: str, arguments: Sequence[str] | None = None
) -> None:
    """The command line of a benchmark: the keyword arguments of `measure` are its options, their docs the help.

    Prints the findings, a line each or with `--json` as JSON, and with them the versions of torch and of `packages`.
    """
    module = sys.modules[measure.__module__]
    name = module.__spec__.name if module.__spec__ else measure.__module__  # not __main__
    parser = Parser(prog=f"python -m {name}", description=module.__doc__.splitlines()[0], allow_abbrev=False)
    helps = {one.arg_name: one.description for one in docstring_parser.parse(measure.__doc__).params}
    for option in inspect.signature(measure, eval_str=True).parameters.values():
        text = f"{helps[option.name].removesuffix('.')} (default: %(default)s)".replace("\n", " ")
        parser.add_argument(f"--{option.name.replace('_', '-')}", help=text, **_argument(option))
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = vars(parser.parse_args(arguments))
    as_json = options.pop("json")
    with user_errors(name):
        found = measure(**options) | environment(*packages)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    rows = flatten(found)
    width = max(map(len, rows)) + 2
    print("\n".join(f"{key:{width}}{value}" for key, value in rows.items()))


def _argument(option: inspect.Parameter) -> dict[str, Any]:
    kind, default = option.annotation, option.default
    if kind is bool:
        return {"action": "store_true"}
    if default is None:
        return {"type": user_path, "metavar": "PATH"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind), "default": default}
    if isinstance(default, tuple):
        return {"type": get_args(kind)[0], "nargs": "+", "default": default}
    return {"type": {Path: user_path, str: path_or_name}.get(kind, kind), "default": default}


def environment(*packages: str) -> dict[str, Any]:
    """Versions of torch and of other packages, and how many threads and processors there are."""
    import torch

    versions = {name: version(name) for name in ("torch", *packages)}
    return {"versions": versions, "threads": torch.get_num_threads(), "cpus": os.cpu_count()}


def seconds(work: Callable[[], Any]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Pairs:
    """Seconds of two sides, measured one after the other in each round."""

    theirs: list[float]
    ours: list[float]

    @property
    def their_median(self) -> float:
        """Seconds."""
        return statistics.median(self.theirs)

    @property
    def our_median(self) -> float:
        """Seconds."""
        return statistics.median(self.ours)

    def speedup(self, name: str = "speedup", digits: int = 2) -> dict[str, Any]:
        """Their seconds over ours, as `median_of` has it."""
        return median_of(
            [their / our for their, our in zip(self.theirs, self.ours, strict=True)], name, digits
        )

    def cost(self, name: str, digits: int = 3) -> dict[str, Any]:
        """Our seconds over theirs, as `median_of` has it."""
        return median_of(
            [our / their for their, our in zip(self.theirs, self.ours, strict=True)], name, digits
        )


def alternate(
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    rounds: int,
    measure: Callable[[Callable[[], Any]], float] = seconds,
) -> Pairs:
    """Measures both sides once a round, so that what slows the machine down for a while slows both."""
    pairs = [(measure(theirs), measure(ours)) for _ in range(rounds)]
    return Pairs(*map(list, zip(*pairs, strict=True)))


def median_of(figures: Sequence[float], name: str, digits: int) -> dict[str, Any]:
    """The median of figures under a name, and the least and greatest as `spread`."""
    return {
        name: round(statistics.median(figures), digits),
        "spread": [round(min(figures), digits), round(max(figures), digits)],
    }


def reset_peak() -> int:
    """Sets the peak of this process's memory back to what it takes now, which is returned in bytes (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The most bytes that this process took since its start or `reset_peak` (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
