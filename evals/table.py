"""Reports beside published figures: `python -m evals.table REPORT... [--section generation] [--format markdown]`.

Rows are models, columns measures; a measure that a row has not is left empty, and one that no row has is left out. Where
a report's protocol is another than the papers', a footnote says so.
"""

import argparse
import html
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
PLAYGROUND = (
    "on the playground: its own world of coloured shapes, held-out combinations, read by its exact judge; "
    "only the categories are those of the papers, so the figures cannot be compared with theirs"
)


GENEVAL = (
    "GenEval's own prompts and rules, with {detector} as the detector and {clip} for colours; the papers' figures are "
    "those of the official scorer, whose detector is mmdet's, so a difference may be the detector's"
)

MJHQ = (
    "FID on {samples} images of MJHQ-30K's 30,000, resized as the original FID does; the papers do not say how they "
    "resized, which moves it"
)
OTHER_FID = "FID against {real}, not MJHQ-30K, on {samples} images: it cannot be compared with the papers'"


@dataclass
class Row:
    """One model: what it is called, its figures by measure, and what differs in how they were had."""

    name: str
    figures: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Table:
    """What is printed: headings, cells as text, and the footnotes in order."""

    headings: list[str]
    cells: list[list[str]]
    notes: list[str]


def read_report(path: Path) -> Row:
    """A report of `python -m evals`, named after its folder or file.

    Raises:
        ValueError: it is not there, or is no report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} is not there: give a report of `python -m evals`") from error
    except ValueError as error:
        raise ValueError(f"{path} is no report: {error}") from error
    if not isinstance(report, dict) or not any("/" in name for name in report):
        raise ValueError(f"{path} is no report of `python -m evals`: it names no measure")
    name = path.parent.name if path.stem == "report" and path.parent.name else path.stem
    figures = {key: float(value) for key, value in report.items() if isinstance(value, (int, float))}
    return Row(f"{name} (ours)", figures, _notes(report))


def _notes(report: dict[str, Any]) -> list[str]:
    """What differs from the papers' protocol."""
    detector = str(report.get("detector"))
    if report.get("suite") == "playground" or detector.startswith("playground"):
        return [PLAYGROUND]
    if report.get("suite") == "geneval":
        return [GENEVAL.format(detector=detector, clip=report.get("clip") or "nothing")]
    notes = {"mjhq": MJHQ, "fid": OTHER_FID}
    about = {key: report.get(key) for key in ("real", "samples")}
    return [notes[suite].format(**about)] if (suite := report.get("suite")) in notes else []


def published(section: str) -> list[Row]:
    """The published rows of a section; each names its source."""
    rows = json.loads(PUBLISHED.read_text(encoding="utf-8"))[section]
    return [
        Row(
            f"{row['model']} {row['size']}" if "size" in row else row["model"],
            {key: value for key, value in row.items() if isinstance(value, (int, float))},
            [f"as printed in {row['source']}"],
        )
        for row in rows
    ]


def build(section: str, ours: Sequence[Row]) -> Table:
    """The table of a section: published rows, then ours."""
    rows = [*published(section), *ours]
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
        cells.append([name, *(_number(row.figures.get(key)) for key in columns)])
    return Table(["model", *columns.values()], cells, notes)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return (
        f"{value:.0f}"
        if value >= 200 and value == int(value)
        else f"{value:.1f}"
        if value > 20
        else f"{value:.2f}"
    )


def markdown(table: Table) -> str:
    """As Markdown."""
    lines = [table.headings, ["---"] * len(table.headings), *table.cells]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return body + "\n\n" + "\n".join(f"[{i}] {note}." for i, note in enumerate(table.notes, 1)) + "\n"


def page(table: Table) -> str:
    """As HTML."""
    head = "".join(f"<th>{html.escape(name)}" for name in table.headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in table.cells)
    notes = "".join(f"<li>{html.escape(note)}." for note in table.notes)
    return f"<table><tr>{head}{body}</table><ol>{notes}</ol>\n"


def latex(table: Table) -> str:
    """As LaTeX, with booktabs."""
    lines = [" & ".join(_tex(cell) for cell in line) + r" \\" for line in (table.headings, *table.cells)]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "\n".join(rf"\par\footnotesize [{i}] {_tex(note)}." for i, note in enumerate(table.notes, 1))
    columns = "l" + "r" * (len(table.headings) - 1)
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n{notes}\n"


def _tex(text: str) -> str:
    for special in ("\\", "&", "%", "$", "#", "_", "{", "}"):
        text = text.replace(special, r"\textbackslash " if special == "\\" else f"\\{special}")
    return text


FORMATS: dict[str, Callable[[Table], str]] = {"markdown": markdown, "html": page, "latex": latex}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m evals.table", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("reports", nargs="*", type=Path, help="reports of `python -m evals`")
    parser.add_argument(
        "--section", choices=tuple(COLUMNS), default="generation", help="default: %(default)s"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="markdown", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        table = build(options.section, [read_report(path) for path in options.reports])
    except ValueError as error:
        print(f"table: {error}", file=sys.stderr)
        return 2
    print(FORMATS[options.format](table), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
