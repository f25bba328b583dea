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
from common.pages import data_url, render, write_page
from evals.contact_sheet import Cell, contact_sheet
from evals.reports.plot import COLOURS, inline_svg, new_figure
from judges.assessment import Assessment
from judges.judge import Opinion
from judges.verdict_agreement import Bin, balanced_accuracy, calibration

DRAWINGS, COLUMNS = 12, 6  # of a contact sheet
COUNTS = ("round", "drawings", "good", "bad", "unjudged", "dialogues", "second_turns")


@dataclass
class RoundReport:
    """One round as the page shows it; prompts, opinions and verdicts (None: nobody could say) are of each drawing."""

    summary: Mapping[str, Any]
    prompts: Sequence[str]
    image: Callable[
        [int], Tensor
    ]  # returns the drawing (3, H, W) of a number; only those shown are asked for
    opinions: Sequence[Opinion]
    good: Sequence[bool | None]
    own: Sequence[tuple[bool | None, float]]  # the model's verdicts (None: no assessment) and confidence

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
        scores=[(name, before[name], after[name]) for name in before if name in after],
        counts=COUNTS,
        wrong=sorted({name for one in records for name in one["wrong"]}),
        records=records,
        rounds=[_round(one, data) for one, data in zip(rounds, records, strict=True)],
    )
    return write_page(folder / "self_enhancement.html", "Self-enhancement", [body])


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
    total = sum(b.drawings for b in bins)
    figure, (axes,) = new_figure(height=240)
    axes.axline((0, 0), (1, 1), color=COLOURS["a"], linewidth=0.8, alpha=0.45)
    sizes = [36 + 300 * b.drawings / total for b in bins]
    axes.scatter([b.confidence for b in bins], [b.good for b in bins], sizes, color=COLOURS["a"])
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="confidence that it is good", ylabel="found good", aspect="equal"
    )
    return inline_svg(figure, "calibration")
