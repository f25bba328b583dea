"""What a benchmark says: the ratio of two sides measured in turn, and its findings as JSON or line by line."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def over(ratios: Sequence[float], name: str, digits: int = 3) -> dict[str, Any]:
    """The median of ratios measured in turn, under a name, and their least and greatest as `spread`."""
    spread = [round(min(ratios), digits), round(max(ratios), digits)]
    return {name: round(statistics.median(ratios), digits), "spread": spread}


def show(found: Mapping[str, Any], as_json: bool) -> None:
    """Prints findings: JSON alone, or a line each."""
    wide = max(map(len, found)) + 2
    print(json.dumps(found, indent=1) if as_json else "\n".join(f"{k:{wide}}{v}" for k, v in found.items()))
