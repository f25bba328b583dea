"""Reports beside published figures: `python -m evals table REPORT... [--section generation] [--format markdown]`.

A report is one of `python -m evals`, or lmms-eval's `*_results.json`. Rows are models, columns measures; a column that
no row has is left out. Reports of one model (by its hash) share a row. A column is of one benchmark in one version:
reports of several are refused. Where a report's protocol is another than the papers', a footnote says so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.json_files import read_object
from common.paths import user_path
from common.terminal import printable
from evals.lmms.results import is_lmms, lmms_figures, lmms_note
from evals.reports.table_formats import FORMATS, Table

PUBLISHED = Path(__file__).resolve().parent / "published.json"
COLUMNS: dict[str, dict[str, str]] = json.loads(
    (PUBLISHED.parent / "columns.json").read_text(encoding="utf-8")
)
# As the papers print them, by family; percentages have one.
DECIMALS = {"geneval": 2, "genai": 2, "fid": 2, "emu_edit": 3, "ocrbench": 0, "vqa": 2, "editing": 2}
PLAYGROUND = (
    "on the playground: its own world of coloured shapes, held-out combinations, read by its exact judge; "
    "only the categories are those of the papers, so the figures cannot be compared with theirs"
)
GENEVAL = (
    "GenEval's own prompts and rules, with {detector} as the detector and {clip} for colours; the papers' figures are "
    "those of the official scorer, whose detector is mmdet's, so a difference may be the detector's"
)
MJHQ = "mjhq"  # the only suite whose `fid` is the papers'
MJHQ_NOTE = (
    "FID on {samples} images of MJHQ-30K's 30,000, resized as the original FID does; the papers do not say how they "
    "resized, which moves it"
)
NOT_MJHQ = "its FID is to other images than MJHQ-30K's, and is left out"
METADATA = ("suite", "version", "model", "results")  # of a report: texts that say nothing of its protocol


@dataclass
class Row:
    """One model, published or of a report: its figures by measure, and notes on their protocol or source."""

    name: str
    figures: dict[str, float]
    notes: list[str]
    path: Path | None = None
    benchmark: str = ""  # the suite of a report and that suite's version
    model: str | None = None  # the hash of the model folder, where it is known


def read_report(path: Path) -> Row:
    """A report, named after its folder or file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no report, or does not say of which benchmark.
    """
    content = read_object(path, allow_nan=True, required="give a report of `python -m evals`")
    if is_lmms(content):
        figures = lmms_figures(content, str(path))
        name = printable(f"{path.parent.name or path.stem} (ours)")
        return Row(name, figures, [lmms_note(figures)], path, "lmms-eval")
    figures = _figures(content)
    if not any("/" in name for name in figures) and "fid" not in figures:
        raise ValueError(f"{path} is no report of `python -m evals`: it names no measure")
    if not isinstance(content.get("suite"), str):
        raise ValueError(f"{path} does not name its suite: run `python -m evals` again")
    notes = _protocol_notes(content)
    if content["suite"] != MJHQ and figures.pop("fid", None) is not None:
        notes.append(NOT_MJHQ)
    name = path.parent.name if path.stem == "report" and path.parent.name else path.stem
    where = " on the playground" if _on_playground(content) and content["suite"] != "playground" else ""
    benchmark = f"suite {content['suite']}{where}, version {content.get('version') or 'unknown'}"
    notes = [printable(note) for note in notes]
    return Row(printable(f"{name} (ours)"), figures, notes, path, benchmark, content.get("model"))


def _figures(report: dict[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))}
    return {key: float(value) for key, value in numbers.items() if not isinstance(value, bool)}


def _on_playground(report: dict[str, Any]) -> bool:
    """Whether it is of the playground's world, by its own suite or by its judge in another one's."""
    judges = (str(report.get(key)) for key in ("detector", "vlm"))
    return report["suite"] == "playground" or any(judge.startswith("playground") for judge in judges)


def _protocol_notes(report: dict[str, Any]) -> list[str]:
    """What differs from the papers' protocol, or else what the report says of its own."""
    if _on_playground(report):
        return [PLAYGROUND]
    if report["suite"] == "geneval":
        return [GENEVAL.format(detector=report.get("detector"), clip=report.get("clip") or "nothing")]
    if report["suite"] == MJHQ:
        return [MJHQ_NOTE.format(samples=report.get("samples", "an unknown number of"))]
    details = {key: value for key, value in report.items() if isinstance(value, str) and key not in METADATA}
    details |= {"samples": report["samples"]} if "samples" in report else {}
    text = ", ".join(f"{key} {value}" for key, value in details.items())
    return [f"by `python -m evals --suite {report['suite']}`" + (f": {text}" if text else "")]


def published_rows(section: str) -> list[Row]:
    """The published rows of a section; each names its source."""
    return [
        Row(
            f"{row['model']} {row.get('size', '')}".strip(),
            _figures(row),
            [f"as printed in {row['source']}", *([row["note"]] if "note" in row else [])],
        )
        for row in json.loads(PUBLISHED.read_text(encoding="utf-8"))[section]
    ]


def check_same_benchmark(section: str, reports: Sequence[Row]) -> None:
    """Raises ValueError where two reports of different suites or versions fill one column."""
    first: dict[str, Row] = {}
    for report in reports:
        for measure in filter(report.figures.__contains__, COLUMNS[section]):
            other = first.setdefault(measure, report)
            if other.benchmark != report.benchmark:
                raise ValueError(
                    f"{other.path} ({other.benchmark}) and {report.path} ({report.benchmark}) both give {measure}, but "
                    "measure different things: make a table of each"
                )


def merge_models(reports: Sequence[Row]) -> list[Row]:
    """A row for each model: reports of one model folder that measured different things are one row."""
    rows: list[Row] = []
    for report in reports:
        own = [row for row in rows if row.model == report.model and report.model is not None]
        row = next((row for row in own if not _measures(row) & _measures(report)), None)
        if row is None:
            rows.append(replace(report, figures=dict(report.figures), notes=list(report.notes)))
        else:
            row.figures |= report.figures
            row.notes += [note for note in report.notes if note not in row.notes]
    return rows


def _measures(row: Row) -> set[str]:
    return {measure for columns in COLUMNS.values() for measure in columns} & row.figures.keys()


def build(section: str, reports: Sequence[Row]) -> Table:
    """The table of a section: published rows, then ours.

    Raises:
        ValueError: the reports cannot stand in one table, or one has nothing to stand there.
    """
    check_same_benchmark(section, reports)
    empty = [report for report in reports if not COLUMNS[section].keys() & report.figures.keys()]
    if empty:
        fits = [name for name, columns in COLUMNS.items() if columns.keys() & empty[0].figures.keys()]
        advice = f"give --section {' or '.join(fits)}, or leave it out" if fits else "leave it out"
        raise ValueError(f"{empty[0].path} has no figure of the section {section}: {advice}")
    rows = [*published_rows(section), *merge_models(reports)]
    columns = {key: name for key, name in COLUMNS[section].items() if any(key in row.figures for row in rows)}
    notes = list(dict.fromkeys(note for row in rows for note in row.notes))
    cells = []
    for row in rows:
        marks = ", ".join(str(notes.index(note) + 1) for note in row.notes)
        name = f"{row.name} [{marks}]" if marks else row.name
        cells.append([name, *(_number(key, row.figures.get(key)) for key in columns)])
    return Table(["model", *columns.values()], cells, notes)


def _number(measure: str, value: float | None) -> str:
    """A figure with as many decimals as the papers print."""
    return "" if value is None else f"{value:.{DECIMALS.get(measure.partition('/')[0], 1)}f}"


def main(arguments: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="python -m evals table", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "reports", nargs="*", type=user_path, help="reports of `python -m evals`, or lmms-eval's"
    )
    default = "default: %(default)s"
    parser.add_argument("--section", choices=tuple(COLUMNS), default="generation", help=default)
    parser.add_argument("--format", choices=tuple(FORMATS), default="markdown", help=default)
    options = parser.parse_args(arguments)
    with user_errors("table"):
        table = build(options.section, [read_report(path) for path in options.reports])
        print(FORMATS[options.format](table), end="")


if __name__ == "__main__":
    main()
