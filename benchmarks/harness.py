"""What a benchmark says: the ratio of two sides measured in turn, and its findings as JSON or as a table."""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any


def command(name: str, about: str, rounds: int = 5) -> argparse.ArgumentParser:
    """The command line of the benchmark `name`, which `about` describes, with the options that all of them have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    return parser


def over(ratios: Sequence[float], name: str, digits: int = 3) -> dict[str, Any]:
    """The median of ratios measured in turn, under a name, and their least and greatest as `spread`."""
    spread = [round(min(ratios), digits), round(max(ratios), digits)]
    return {name: round(statistics.median(ratios), digits), "spread": spread}


def in_turn(
    theirs: Callable[[], float], ours: Callable[[], float], rounds: int
) -> tuple[list[float], list[float]]:
    """Figures of both sides, one of each a round, so that what slows the machine down for a while slows both."""
    pairs = [(theirs(), ours()) for _ in range(rounds)]
    return [their for their, _ in pairs], [own for _, own in pairs]


def made_with(*packages: str) -> dict[str, Any]:
    """The packages' versions, torch's among them, and what the machine has."""
    import torch

    versions = {name: version(name) for name in ("torch", *packages)}
    return {"versions": versions, "threads": torch.get_num_threads(), "cpus": os.cpu_count()}


def show(found: Mapping[str, Any], as_json: bool) -> None:
    """Prints findings: JSON alone, or a line each."""
    if as_json:
        print(json.dumps(found, indent=1))
        return
    rows = list(flat(found))
    wide = max(len(name) for name, _ in rows) + 2
    print("\n".join(f"{name:{wide}}{value}" for name, value in rows))


def flat(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Findings within findings, as `outer.inner` and what it is."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
