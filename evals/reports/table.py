"""Reports beside published figures: `python -m evals.reports.table REPORT... [--section generation] [--format markdown]`.

A report is one of `python -m evals`, or lmms-eval's `*_results.json`. Rows are models, columns measures; a measure
that a row has not is left empty, and one that no row has is left out. Reports of one model (by its hash) share a row.
A column is of one benchmark in one version: reports of several are refused. Where a report's protocol is another than
the papers', a footnote says so.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.json_files import read_object
from common.markdown import escaped
from common.pages import fragment
from common.pages import page as whole_page
from common.pages import table as grid
from common.paths import user_path
from common.terminal import printable
from evals.lmms.results import is_lmms, lmms_figures, lmms_note

PUBLISHED = Path(__file__).resolve().parent / "published.json"
COLUMNS = {
    "generation": {
        "fid": "MJHQ FID",
        "genai/basic": "GenAI basic",
        "genai/advanced": "GenAI advanced",
        "geneval/overall": "GenEval",
        "geneval/single_object": "one object",
        "geneval/two_object": "two objects",
        "geneval/counting": "counting",
        "geneval/colors": "colors",
        "geneval/position": "position",
        "geneval/color_attr": "attributes",
    },
    "understanding": {
        "pope": "POPE",
        "mmbench": "MMBench",
        "seed_bench": "SEED",
        "mme_p": "MME-P",
        "mm_vet": "MM-Vet",
        "mmmu": "MMMU",
        "ai2d": "AI2D",
        "textvqa": "TextVQA",
        "chartqa": "ChartQA",
        "docvqa": "DocVQA",
        "infovqa": "InfoVQA",
        "ocrbench": "OCRBench",
        "vqa/accuracy": "playground VQA",
    },
    "editing": {
        "emu_edit/dino": "DINO",
        "emu_edit/clip_i": "CLIP-I",
        "emu_edit/clip_t": "CLIP-T",
        "emu_edit/clip_dir": "CLIP-DIR",
        "editing/accuracy": "playground edits",
    },
}
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
ABOUT = ("suite", "version", "model", "results")  # of a report: texts that tell nothing of its protocol


@dataclass
class Row:
    """One model.

    Attributes:
        name: what it is called.
        figures: by measure.
        notes: what differs in how they were had, or where they were published.
    """

    name: str
    figures: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Report:
    """A report of `python -m evals` or of lmms-eval.

    Attributes:
        path: of its file.
        benchmark: its suite and that suite's version, in words.
        model: the hash of the model folder, where it is known.
        row: what it adds to a table.
    """

    path: Path
    benchmark: str
    model: str | None
    row: Row


@dataclass
class Table:
    """What is printed: headings, cells as text, and the footnotes in order."""

    headings: list[str]
    cells: list[list[str]]
    notes: list[str]


def read_report(path: Path) -> Report:
    """A report, named after its folder or file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no report, or does not say of which benchmark.
    """
    content = read_object(path, allow_nan=True, required="give a report of `python -m evals`")
    if is_lmms(content):
        figures = lmms_figures(content, str(path))
        row = Row(printable(f"{path.parent.name or path.stem} (ours)"), figures, [lmms_note(figures)])
        return Report(path, "lmms-eval", None, row)
    figures = _figures(content)
    if not any("/" in name for name in figures) and "fid" not in figures:
        raise ValueError(f"{path} is no report of `python -m evals`: it names no measure")
    if not isinstance(content.get("suite"), str):
        raise ValueError(f"{path} does not say of which suite it is: make it again with `python -m evals`")
    notes = _notes(content)
    if content["suite"] != MJHQ and figures.pop("fid", None) is not None:
        notes.append(NOT_MJHQ)
    name = path.parent.name if path.stem == "report" and path.parent.name else path.stem
    where = " on the playground" if _plays(content) and content["suite"] != "playground" else ""
    benchmark = f"suite {content['suite']}{where}, version {content.get('version') or 'unknown'}"
    row = Row(printable(f"{name} (ours)"), figures, [printable(note) for note in notes])
    return Report(path, benchmark, content.get("model"), row)


def _figures(report: dict[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in report.items() if isinstance(value, (int, float))}
    return {key: float(value) for key, value in numbers.items() if not isinstance(value, bool)}


def _plays(report: dict[str, Any]) -> bool:
    """Whether it is of the playground's world, by its own suite or by its judge in another one's."""
    judges = (str(report.get(key)) for key in ("detector", "vlm"))
    return report["suite"] == "playground" or any(judge.startswith("playground") for judge in judges)


def _notes(report: dict[str, Any]) -> list[str]:
    """What differs from the papers' protocol, or else what the report tells of its own."""
    if _plays(report):
        return [PLAYGROUND]
    if report["suite"] == "geneval":
        return [GENEVAL.format(detector=report.get("detector"), clip=report.get("clip") or "nothing")]
    if report["suite"] == MJHQ:
        return [MJHQ_NOTE.format(samples=report.get("samples", "an unknown number of"))]
    told = {key: value for key, value in report.items() if isinstance(value, str) and key not in ABOUT}
    told |= {"samples": report["samples"]} if "samples" in report else {}
    words = ", ".join(f"{key} {value}" for key, value in told.items())
    return [f"by `python -m evals --suite {report['suite']}`" + (f": {words}" if words else "")]


def published(section: str) -> list[Row]:
    """The published rows of a section; each names its source."""
    rows = json.loads(PUBLISHED.read_text(encoding="utf-8"))[section]
    return [
        Row(
            f"{row['model']} {row['size']}" if "size" in row else row["model"],
            {key: value for key, value in row.items() if isinstance(value, (int, float))},
            [f"as printed in {row['source']}", *([row["note"]] if "note" in row else [])],
        )
        for row in rows
    ]


def check_alike(section: str, reports: Sequence[Report]) -> None:
    """Makes sure that each column is of one benchmark.

    Raises:
        ValueError: two reports fill one column, and are of two suites, or of two versions of one.
    """
    first: dict[str, Report] = {}
    for report in reports:
        for measure in filter(report.row.figures.__contains__, COLUMNS[section]):
            other = first.setdefault(measure, report)
            if other.benchmark != report.benchmark:
                raise ValueError(
                    f"{other.path} ({other.benchmark}) and {report.path} ({report.benchmark}) both give {measure}, and "
                    "mean different things by it: make a table of each"
                )


def joined(reports: Sequence[Report]) -> list[Row]:
    """A row for each model: reports of one model folder that measured different things are one row."""
    rows: list[tuple[str | None, Row]] = []
    for report in reports:
        new = report.row
        for model, row in rows:
            if model == report.model and model is not None and not _measures(row) & _measures(new):
                row.figures |= new.figures
                row.notes += [note for note in new.notes if note not in row.notes]
                break
        else:
            rows.append((report.model, Row(new.name, dict(new.figures), list(new.notes))))
    return [row for _, row in rows]


def _measures(row: Row) -> set[str]:
    return {measure for columns in COLUMNS.values() for measure in columns} & row.figures.keys()


def build(section: str, reports: Sequence[Report]) -> Table:
    """The table of a section: published rows, then ours.

    Raises:
        ValueError: the reports cannot stand in one table, or one has nothing to stand there.
    """
    check_alike(section, reports)
    empty = [report for report in reports if not COLUMNS[section].keys() & report.row.figures.keys()]
    if empty:
        fits = [name for name, columns in COLUMNS.items() if columns.keys() & empty[0].row.figures.keys()]
        told = f"give --section {' or '.join(fits)}, or leave it out" if fits else "leave it out"
        raise ValueError(f"{empty[0].path} has no figure of the section {section}: {told}")
    rows = [*published(section), *joined(reports)]
    columns = {key: name for key, name in COLUMNS[section].items() if any(key in row.figures for row in rows)}
    notes: list[str] = []
    cells = []
    for row in rows:
        marks = []
        for note in row.notes:
            if note not in notes:
                notes.append(note)
            marks.append(notes.index(note) + 1)
        name = row.name + (f" [{', '.join(map(str, marks))}]" if marks else "")
        cells.append([name, *(_number(key, row.figures.get(key)) for key in columns)])
    return Table(["model", *columns.values()], cells, notes)


def _number(measure: str, value: float | None) -> str:
    """A figure with as many decimals as the papers print."""
    return "" if value is None else f"{value:.{DECIMALS.get(measure.partition('/')[0], 1)}f}"


def markdown(table: Table) -> str:
    """As Markdown."""
    lines = [table.headings, ["---"] * len(table.headings), *table.cells]
    body = "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)
    return (
        body + "\n\n" + "\n".join(f"[{i}] {escaped(note)}." for i, note in enumerate(table.notes, 1)) + "\n"
    )


def page(table: Table) -> str:
    """As an HTML page that needs nothing beside it."""
    title = "Beside published figures"
    body = fragment(
        """<h1>{{ title }}</h1>
{{ grid }}
<ol>{% for note in notes %}<li>{{ note }}.</li>{% endfor %}</ol>""",
        title=title,
        grid=grid(table.headings, table.cells, "wide numbers"),
        notes=table.notes,
    )
    return whole_page(title, [body])


def latex(table: Table) -> str:
    """As LaTeX, with booktabs."""
    lines = [" & ".join(_tex(cell) for cell in line) + r" \\" for line in (table.headings, *table.cells)]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "\n".join(rf"\par\footnotesize [{i}] {_tex(note)}." for i, note in enumerate(table.notes, 1))
    columns = "l" + "r" * (len(table.headings) - 1)
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n{notes}\n"


def _tex(text: str) -> str:
    """A text as it is meant: no sign in it is a command, not even ^^5c, and no bracket the argument of a row's end."""
    said = re.sub(r"[\\^~&%$#_{}]", lambda found: TEX.get(found[0], f"\\{found[0]}"), printable(text))
    return f"{{}}{said}" if said.startswith(("[", "*")) else said


TEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
FORMATS: dict[str, Callable[[Table], str]] = {"markdown": markdown, "html": page, "latex": latex}


def main(arguments: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(
        prog="python -m evals.reports.table", description=__doc__.splitlines()[0], allow_abbrev=False
    )
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
