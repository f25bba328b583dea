"""`docs/understand/performance.md`: every figure with its aim and the hardware's line, written of the benchmarks' JSON.

Only what stands between two marks is written; what people say about it, below, is theirs and stays.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import write_text

BEGIN = "<!-- written by `python -m benchmarks`: what stands up to the next mark is overwritten -->"
END = "<!-- end of what is written -->"
COST = "images/cost.svg"  # beside the page
SUITES = (
    "drawing", "answering", "quantizer", "loss", "training", "packing", "fidelity", "data", "start_up", "cost",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        suite: the benchmark that it is of.
        path: where it stands in what that says, as `generate.speedup`.
        about: what it is.
        aim: what was wanted; None: nothing was.
        most: whether the aim is the most that it may be, and not the least.
    """

    suite: str
    path: str
    about: str
    aim: float | None = None
    most: bool = False

    def reached(self, value: float) -> str:
        """Whether the aim was reached, in a word."""
        if self.aim is None:
            return ""
        return "reached" if (value <= self.aim if self.most else value >= self.aim) else "**missed**"


FIGURES = (
    Figure("drawing", "generate.speedup", "drawing over `transformers` generate, d256 x 6", 5),
    Figure("drawing", "generate_large.speedup", "the same, d512 x 8", 3),
    Figure("drawing", "janus.speedup", "drawing over `transformers`' Janus, d256 x 6, 576 tokens", 1.8),
    Figure("drawing", "generate.matrix_share", "share of matrix products in our loop's time, d256 x 6", 0.8),
    Figure("drawing", "generate_large.matrix_share", "the same, d512 x 8", 0.8),
    Figure("answering", "answering.speedup", "answering over `transformers` generate, d256 x 6"),
    Figure("answering", "answering_large.speedup", "the same, d512 x 8"),
    Figure("quantizer", "ema.speedup", "quantizer by running means over vector-quantize-pytorch"),
    Figure("quantizer", "simvq.speedup", "SimVQ over vector-quantize-pytorch"),
    Figure("training", "speedup", "training, packed, over Hugging Face `Trainer`, padded: real tokens/s", 2),
    Figure("packing", "stage3.packed_over_padded", "packed over padded rows in our own training, stage 3"),
    Figure("packing", "playground.packed_over_padded", "the same, playground"),
    Figure("loss", "memory_over_full", "memory of the chunked loss over that of full logits", 0.333, True),
    Figure("loss", "seconds_over_full", "its seconds over those of full logits"),
    Figure("fidelity", "200 images.speedup", "FID of 200 images over torch-fidelity, from the same features"),
    Figure("fidelity", "3000 images.speedup", "the same, 3,000 images"),
    Figure("data", "pipeline_over_bare", "samples/s of the data pipeline over a bare loop that only decodes"),
    Figure(
        "start_up", "help_over_import", "`train.py --help` over `import lightning.pytorch.cli`", 1.1, True
    ),
    Figure("start_up", "first_step.seconds", "seconds to the first step of the playground", 20, True),
)


def write_performance(kept: Path, page: Path) -> None:
    """Writes the page's tables of the JSON files in `kept`.

    Raises:
        ValueError: the page has lost one of its marks.
    """
    runs = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(kept.glob("*.json"))}
    found = {name: run["found"] for name, run in runs.items() if "found" in run}
    parts = [_figures(found), _rooflines(found), _cost(found), _circumstances(runs)]
    made = "\n\n".join([BEGIN, *filter(None, parts), END])
    if not page.is_file():
        write_text(page, f"# Performance\n\n{made}\n")
        return
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must hold its two marks once each: {BEGIN} and {END}")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_text(page, before + made + after)


def _figures(found: Mapping[str, Any]) -> str:
    rows = ["| | aim | measured | least to greatest | |", "|---|---|---|---|---|"]
    for figure in FIGURES:
        value = _at(found.get(figure.suite), figure.path)
        if value is None:
            continue
        spread = _at(found[figure.suite], figure.path.rpartition(".")[0] + ".spread")
        own = spread and spread[0] <= value <= spread[1]  # it may be another figure's
        between = f"{spread[0]:g} to {spread[1]:g}" if own else ""
        wanted = "" if figure.aim is None else f"{'at most' if figure.most else 'at least'} {figure.aim:g}"
        rows.append(f"| {figure.about} | {wanted} | {value:g} | {between} | {figure.reached(value)} |")
    return "## Figures and aims\n\n" + "\n".join(rows)


def _at(found: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _rooflines(found: Mapping[str, Any]) -> str:
    rows = [
        "| | MiB that must move | GFLOP that must run | GiB/s | GFLOP/s | bound by | s allowed | s taken | share |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, line in ((name, line) for suite in SUITES for name, line in _lines(found.get(suite), suite)):
        cells = [line["mib"], line["gflop"], line["gib_per_second"], line["gflop_per_second"]]
        cells += [line["bound_by"], line["allowed_seconds"], line["seconds"], line["share"]]
        rows.append(
            f"| {name} | " + " | ".join(c if isinstance(c, str) else f"{c:,.5g}" for c in cells) + " |"
        )
    about = (
        "Ours, beside the larger of bytes over bandwidth and operations over rate, both measured in its own run\n"
        "(`benchmarks/roofline.py`): reading as many bytes as are gone through again and again, and one large product."
    )
    return f"## Beside the hardware\n\n{about}\n\n" + "\n".join(rows)


def _lines(found: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(found, Mapping):
        return
    if "roofline" in found:
        yield name, found["roofline"]
    for inner, value in found.items():
        yield from _lines(value, f"{name}: {inner}") if inner != "roofline" else ()


def _cost(found: Mapping[str, Any]) -> str:
    if "cost" not in found:
        return ""
    rows = ["| | s an image | s allowed | share | bound by |", "|---|---|---|---|---|"]
    for grows, unit in (("batch", "images"), ("tokens", "tokens"), ("parameters", "parameters")):
        for size, at in found["cost"].get(grows, {}).items():
            cells = f"{at['seconds_an_image']:.3g} | {at['allowed_an_image']:.3g} | {at['share']:.2f}"
            rows.append(f"| {int(size):,} {unit} | {cells} | {at['bound_by']} |")
    about = (
        "256 tokens, 8 images at once under guidance and d256 x 6 layers, where it is not what grows.\n\n"
        f"![Seconds an image as batch, tokens and model grow]({COST})"
    )
    return f"## Cost of an image\n\n{about}\n\n" + "\n".join(rows)


def _circumstances(runs: Mapping[str, Any]) -> str:
    rows = ["| command | date | machine | versions | threads | took |", "|---|---|---|---|---|---|"]
    for name in (suite for suite in SUITES if suite in runs):
        run = runs[name]
        if "found" not in run:
            rows.append(
                f"| `{run['command']}` | {run['date']} | {run['machine']} | not run: {run['not_run']} | | |"
            )
            continue
        versions = ", ".join(f"{k} {v}" for k, v in run["found"].get("versions", {}).items())
        where = f"{run['date']} | {run['machine']} | {versions} | {run['found'].get('threads', '')}"
        rows.append(f"| `{run['command']}` | {where} | {run['took_seconds']} s |")
    return "## Commands\n\n" + "\n".join(rows)
