"""Self-enhancement on one page: what each round drew, what was wrong, how far model and judge agree, and scores."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from evals.agreement import Bin, balanced_accuracy, calibration
from evals.assessment import Assessment
from evals.image_files import png
from evals.judges.judge import Unjudged
from evals.report import data_url, replace_text, write_page
from evals.sheets import Cell, contact_sheet

SHOWN = 12  # drawings of a kind on a sheet
COLUMNS = 6
SIDE, MARGIN = 180, 28  # of the calibration plot, in its own units


@dataclass
class RoundShown:
    """One round as the page shows it.

    Attributes:
        summary: its counts.
        prompts, opinions, good: of each drawing, as in `Round`.
        image: the drawing (3, H, W) of a number; only those that the page shows are asked for.
        own: the model's own verdict of the first drawings (None: it wrote no assessment), and its confidence.
    """

    summary: Mapping[str, Any]
    prompts: Sequence[str]
    image: Callable[[int], Tensor]
    opinions: Sequence[Assessment | Unjudged]
    good: Sequence[bool | None]
    own: Sequence[tuple[bool | None, float]]

    def agreement(self) -> dict[str, Any]:
        """Balanced accuracy over the drawings of which both have an opinion, and how many these are."""
        both = [
            (own, sure, ok) for (own, sure), ok in zip(self.own, self.good, strict=False) if ok is not None
        ]
        read = [(own, sure, ok) for own, sure, ok in both if own is not None]
        said, truth = [own for own, _, _ in read], [ok for _, _, ok in read]
        return {
            "asked": len(both),
            "readable": len(read),
            "balanced_accuracy": balanced_accuracy([bool(own) for own in said], truth),
            "calibration": [b._asdict() for b in calibration([sure for _, sure, _ in read], truth)],
        }


def write_enhancement_report(
    folder: Path, rounds: Sequence[RoundShown], before: Mapping[str, float], after: Mapping[str, float]
) -> Path:
    """Writes self_enhancement.html and .json into `folder`; returns the page.

    Args:
        folder: where they go.
        rounds: in order.
        before: scores of the model before the first round.
        after: scores of the latest model.
    """
    found = [{**one.summary, "own": one.agreement()} for one in rounds]
    record = {"rounds": found, "before": dict(before), "after": dict(after)}
    replace_text(folder / "self_enhancement.json", json.dumps(record, indent=1) + "\n")
    body = [
        "<h1>What it learned from<br>judging its own drawings</h1>",
        '<p class="lead">After an epoch the model draws captions of its training data, a judge says what is wrong with '
        "each drawing, and the dialogues are a part of the epochs that follow.</p>",
        _scores(before, after),
        _counts(found),
        *[_round(one, data) for one, data in zip(rounds, found, strict=True)],
    ]
    return write_page(folder / "self_enhancement.html", "Self-enhancement", body)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = "".join(f"<th>{escape(str(name))}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(_shown(c))}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead>{lines}</table></div>'


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _scores(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    names = [name for name in before if name in after]
    if not names:
        return ""
    rows = [[name, before[name], after[name], f"{after[name] - before[name]:+.3f}"] for name in names]
    hint = "Held-out combinations, before the first round and after the last epoch. Training between them is in it."
    return f'<h2>Before and after</h2><p class="hint">{hint}</p>' + _table(
        ["", "before", "after", "change"], rows
    )


def _counts(found: Sequence[Mapping[str, Any]]) -> str:
    wrong = sorted({name for one in found for name in one["wrong"]})
    plain = ("round", "drawings", "good", "bad", "unjudged", "dialogues", "second_turns")
    asked = any(one["own"]["asked"] for one in found)
    head = [*(name.replace("_", " ") for name in plain), *(f"wrong {name}" for name in wrong)]
    rows = [[*(one[name] for name in plain), *(one["wrong"].get(name, 0) for name in wrong)] for one in found]
    if not asked:
        return "<h2>Rounds</h2>" + _table(head, rows)
    head.append("own verdicts")
    rows = [[*row, _agreed(one["own"])] for row, one in zip(rows, found, strict=True)]
    hint = "Own verdicts: balanced accuracy of the model's assessments against the judge's, before it learned from these."
    return f'<h2>Rounds</h2><p class="hint">{hint}</p>' + _table(head, rows)


def _agreed(own: Mapping[str, Any]) -> str:
    if own["balanced_accuracy"] is None:
        return f"- ({own['readable']} of {own['asked']} readable)"
    return f"{own['balanced_accuracy']:.2f} ({own['readable']} of {own['asked']} readable)"


def _round(one: RoundShown, data: Mapping[str, Any]) -> str:
    sheets = [_sheet(one, True, "Found good"), _sheet(one, False, "Found bad")]
    bins = [Bin(**b) for b in data["own"]["calibration"]]
    plot = f"<h3>Its confidence against the judge</h3>{_plot(bins)}" if bins else ""
    return f"<h2>Round {data['round']}</h2>" + "".join(sheets) + plot


def _sheet(one: RoundShown, good: bool, title: str) -> str:
    which = [i for i, ok in enumerate(one.good) if ok is good][:SHOWN]
    if not which:
        return ""
    cells = [Cell(one.image(i), one.prompts[i], good) for i in which]
    sheet = data_url(png(contact_sheet(cells, COLUMNS)))
    reasons = "".join(f"<li>{escape(one.prompts[i])}: {escape(_why(one.opinions[i]))}</li>" for i in which)
    return f'<h3>{title}</h3><div class="plates"><img alt="" src="{sheet}"></div><ul>{reasons}</ul>'


def _why(opinion: Assessment | Unjudged) -> str:
    """What a judge saw, and what it holds against it."""
    if isinstance(opinion, Unjudged):
        return opinion.reason
    wrong = [f"{n} ({v.reason})" if v.reason else n for n, v in opinion.verdicts.items() if not v.ok]
    return (
        f"saw {opinion.rationale}"
        + (f"; wrong: {', '.join(wrong)}" if wrong else "")
        + f"; score {opinion.score}"
    )


def _plot(bins: Sequence[Bin]) -> str:
    """Confidence across, share found good upwards; on the diagonal it means what it says. Dots grow with their count."""
    total, low, high = sum(b.count for b in bins), SIDE - MARGIN, MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return round(high + (low - high) * x, 1), round(low - (low - high) * y, 1)

    dots = "".join(
        '<circle class="a" cx="{}" cy="{}" r="{:.1f}"/>'.format(
            *place(b.confidence, b.good), 3 + 6 * b.count / total
        )
        for b in bins
    )
    return (
        f'<svg viewBox="0 0 {SIDE} {SIDE}" style="max-width:{2 * SIDE}px" role="img" aria-label="calibration">'
        f'<line x1="{high}" y1="{low}" x2="{low}" y2="{high}"/><line x1="{high}" y1="{low}" x2="{low}" y2="{low}"/>'
        f'<line x1="{high}" y1="{low}" x2="{high}" y2="{high}"/>'
        f'<text x="{low}" y="{low + 14}" text-anchor="end">sure that it is good</text>'
        f'<text x="{high}" y="{high - 6}">found good</text>{dots}</svg>'
    )
