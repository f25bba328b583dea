"""Self-enhancement on one page: drawings of each round, what was wrong, agreement of model and judge, and scores."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from torch import Tensor

from common.files import write_text
from common.images import encode_image
from common.pages import data_url, render, table, write_page
from evals.contact_sheet import Cell, contact_sheet
from evals.reports.plot import COLOURS, inline_svg, new_figure
from judges.assessment import Assessment
from judges.judge import Opinion
from judges.verdict_agreement import Bin, balanced_accuracy, calibration

DRAWINGS, COLUMNS = 12, 6  # of a contact sheet
COUNTS = ("round", "drawings", "good", "bad", "unjudged", "dialogues", "second_turns")


@dataclass
class RoundReport:
    """One round as the page shows it.

    Attributes:
        summary: its counts.
        prompts: of each drawing.
        image: returns the drawing (3, H, W) of a number; only those that the page shows are asked for.
        opinions: the judge's, of each drawing.
        good: whether each drawing is good; None where nobody could say.
        own: the model's own verdicts of the first drawings (None: it wrote no assessment), and its confidence.
    """

    summary: Mapping[str, Any]
    prompts: Sequence[str]
    image: Callable[[int], Tensor]
    opinions: Sequence[Opinion]
    good: Sequence[bool | None]
    own: Sequence[tuple[bool | None, float]]

    def agreement(self) -> dict[str, Any]:
        """Agreement with the judge over the drawings that both assessed, and how many these are."""
        judged = [(*own, ok) for own, ok in zip(self.own, self.good, strict=False) if ok is not None]
        readable = [(verdict, sure, ok) for verdict, sure, ok in judged if verdict is not None]
        verdicts, confidences, truth = zip(*readable, strict=True) if readable else ((), (), ())
        return {
            "asked": len(judged),
            "readable": len(readable),
            "balanced_accuracy": balanced_accuracy(verdicts, truth),
            "calibration": [b._asdict() for b in calibration(confidences, truth)],
        }


def write_enhancement_report(
    folder: Path, rounds: Sequence[RoundReport], before: Mapping[str, float], after: Mapping[str, float]
) -> Path:
    """Writes self_enhancement.html and .json into `folder`; returns the page.

    `before` and `after` are scores of the model before the first round, and of the latest one.
    """
    records = [{**one.summary, "own": one.agreement()} for one in rounds]
    record = {"rounds": records, "before": dict(before), "after": dict(after)}
    write_text(folder / "self_enhancement.json", json.dumps(record, indent=1) + "\n")
    body = render(
        Path(__file__).with_name("report.html"),
        scores=_scores(before, after),
        assessed=any(one["own"]["asked"] for one in records),
        counts=_counts(records),
        rounds=[_round(one, data) for one, data in zip(rounds, records, strict=True)],
    )
    return write_page(folder / "self_enhancement.html", "Self-enhancement", [body])


def _scores(before: Mapping[str, float], after: Mapping[str, float]) -> Markup | None:
    rows = [
        [name, f"{before[name]:.3f}", f"{after[name]:.3f}", f"{after[name] - before[name]:+.3f}"]
        for name in before
        if name in after
    ]
    return table(["", "before", "after", "change"], rows) if rows else None


def _counts(records: Sequence[Mapping[str, Any]]) -> Markup:
    """Counts of each round, by wrong dimension too; agreement where the model assessed its drawings."""
    wrong = sorted({name for one in records for name in one["wrong"]})
    head = [*(name.replace("_", " ") for name in COUNTS), *(f"wrong {name}" for name in wrong)]
    rows = [
        [str(one[name]) for name in COUNTS] + [str(one["wrong"].get(name, 0)) for name in wrong]
        for one in records
    ]
    if any(one["own"]["asked"] for one in records):
        head.append("own verdicts")
        for row, one in zip(rows, records, strict=True):
            accuracy, own = one["own"]["balanced_accuracy"], one["own"]
            shown = "-" if accuracy is None else f"{accuracy:.2f}"
            row.append(f"{shown} ({own['readable']} of {own['asked']} readable)")
    return table(head, rows)


def _round(one: RoundReport, data: Mapping[str, Any]) -> dict[str, Any]:
    bins = [Bin(**b) for b in data["own"]["calibration"]]
    return {
        "number": data["round"],
        "good": _sheet(one, True),
        "bad": _sheet(one, False),
        "calibration": _calibration_plot(bins) if bins else None,
    }


def _sheet(one: RoundReport, good: bool) -> dict[str, Any]:
    """A contact sheet of the first drawings on one side of the judge, and its reasons."""
    shown = [i for i, ok in enumerate(one.good) if ok is good][:DRAWINGS]
    if not shown:
        return {"image": None}
    sheet = contact_sheet([Cell(one.image(i), one.prompts[i], good) for i in shown], COLUMNS)
    reasons = [(one.prompts[i], _describe(one.opinions[i])) for i in shown]
    return {"image": data_url(encode_image(sheet)), "reasons": reasons}


def _describe(opinion: Opinion) -> str:
    """What a judge saw, and what it found wrong."""
    if not isinstance(opinion, Assessment):
        return opinion.reason
    wrong = [f"{n} ({v.reason})" if v.reason else n for n, v in opinion.verdicts.items() if not v.ok]
    reasons = f"; wrong: {', '.join(wrong)}" if wrong else ""
    return f"saw {opinion.rationale}{reasons}; score {opinion.score}"


def _calibration_plot(bins: Sequence[Bin]) -> Markup:
    """Confidence across, share found good upwards: calibrated on the diagonal. Dots grow with their count."""
    total = sum(b.count for b in bins)
    figure, (axes,) = new_figure(height=240)
    axes.axline((0, 0), (1, 1), color=COLOURS["a"], linewidth=0.8, alpha=0.45)
    sizes = [36 + 300 * b.count / total for b in bins]
    axes.scatter([b.confidence for b in bins], [b.good for b in bins], sizes, color=COLOURS["a"])
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="confidence that it is good", ylabel="found good", aspect="equal"
    )
    return inline_svg(figure, "calibration")
