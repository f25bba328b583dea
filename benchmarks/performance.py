"""`docs/understand/performance.md`: every figure with its aim and the hardware's line, written of the benchmarks' JSON.

Only what stands between two marks is written; the text around them stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import write_text
from common.json_files import read_object
from common.markdown import markdown_table

BEGIN = "<!-- written by `python -m benchmarks`: what stands up to the next mark is overwritten -->"
END = "<!-- end of what is written -->"
COST = "../images/cost.svg"  # from the page
SUITES = (
    "drawing", "answering", "quantizer", "loss", "training", "packing", "fidelity", "data", "start_up", "cost",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        suite: its benchmark.
        path: its keys in the findings, as `generate.speedup`.
        label: its name on the page.
        aim: what was wanted, if anything.
        at_most: whether the aim is an upper bound, not a lower one.
    """

    suite: str
    path: str
    label: str
    aim: float | None = None
    at_most: bool = False

    def verdict(self, value: float) -> str:
        """Whether the aim was reached, in a word."""
        if self.aim is None:
            return ""
        return "reached" if (value <= self.aim if self.at_most else value >= self.aim) else "**missed**"


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


def write_performance(folder: Path, page: Path) -> None:
    """Writes the page's tables of the JSON files in a folder.

    Raises:
        ValueError: the page has lost one of its marks.
    """
    runs = {path.stem: read_object(path, allow_nan=True) for path in sorted(folder.glob("*.json"))}
    found = {name: run["found"] for name, run in runs.items() if "found" in run}
    sections = [_figures(found), _rooflines(found), _cost(found), _commands(runs)]
    written = "\n\n".join([BEGIN, *filter(None, sections), END])
    if not page.is_file():
        write_text(page, f"# Performance\n\n{written}\n")
        return
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must hold its two marks once each: {BEGIN} and {END}")
    write_text(page, text.split(BEGIN)[0] + written + text.split(END)[1])


def _figures(found: Mapping[str, Any]) -> str:
    rows = [("", "aim", "measured", "least to greatest", "")]
    for figure in FIGURES:
        value = _look_up(found.get(figure.suite), figure.path)
        if value is None:
            continue
        low, high = _look_up(found[figure.suite], figure.path.rpartition(".")[0] + ".spread") or (1, 0)
        spread = f"{low:g} to {high:g}" if low <= value <= high else ""  # it may be another figure's
        aim = "" if figure.aim is None else f"{'at most' if figure.at_most else 'at least'} {figure.aim:g}"
        rows.append((figure.label, aim, f"{value:g}", spread, figure.verdict(value)))
    return "## Figures and aims\n\n" + _table(rows)


def _look_up(found: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _rooflines(found: Mapping[str, Any]) -> str:
    heads = {
        "mib": "MiB that must move",
        "gflop": "GFLOP that must run",
        "gib_per_second": "GiB/s",
        "gflop_per_second": "GFLOP/s",
        "bound_by": "bound by",
        "allowed_seconds": "s allowed",
        "seconds": "s taken",
        "share": "share",
    }
    rows = [["", *heads.values()]]
    for name, line in (one for suite in SUITES for one in _lines(found.get(suite), suite)):
        cells = [line[key] for key in heads]
        rows.append([name, *(cell if isinstance(cell, str) else f"{cell:,.5g}" for cell in cells)])
    about = (
        "Ours, beside the larger of bytes over bandwidth and operations over rate, both measured in its own\n"
        "run (`benchmarks/roofline.py`): reading as many bytes as are read again and again, and one large\nproduct."
    )
    return f"## Beside the hardware\n\n{about}\n\n{_table(rows)}"


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
    rows = [("", "s an image", "s allowed", "share", "bound by")]
    for varied, unit in (("batch", "images"), ("tokens", "tokens"), ("parameters", "parameters")):
        for size, at in found["cost"].get(varied, {}).items():
            figures = f"{at['seconds_an_image']:.3g}", f"{at['allowed_an_image']:.3g}", f"{at['share']:.2f}"
            rows.append((f"{int(size):,} {unit}", *figures, at["bound_by"]))
    about = (
        "256 tokens, 8 images at once under guidance and d256 x 6 layers, where it is not what grows.\n\n"
        f"![Seconds an image as batch, tokens and model grow]({COST})"
    )
    return f"## Cost of an image\n\n{about}\n\n{_table(rows)}"


def _commands(runs: Mapping[str, Any]) -> str:
    rows = [("command", "date", "machine", "versions", "threads", "took")]
    for run in (runs[suite] for suite in SUITES if suite in runs):
        about = f"`{run['command']}`", run["date"], run["machine"]
        if "found" not in run:
            rows.append((*about, f"not run: {run['not_run']}", "", ""))
            continue
        versions = ", ".join(f"{k} {v}" for k, v in run["found"].get("versions", {}).items())
        rows.append((*about, versions, str(run["found"].get("threads", "")), f"{run['took_seconds']} s"))
    return "## Commands\n\n" + _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(rows, "---").rstrip()
