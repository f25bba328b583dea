"""Self-enhancement on one page: what each round drew, what was wrong, how far model and judge agree, and scores."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from torch import Tensor

from common.files import write_text
from common.images import encode_image
from common.pages import data_url, fragment, section, table, write_page
from evals.contact_sheet import Cell, contact_sheet
from judges.assessment import Assessment
from judges.judge import Unjudged
from judges.verdict_agreement import Bin, balanced_accuracy, calibration

SHOWN = 12  # drawings of a kind on a sheet
COLUMNS = 6
SIDE, MARGIN = 180, 28  # of the calibration plot, in its own units


@dataclass
class RoundReport:
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
    folder: Path, rounds: Sequence[RoundReport], before: Mapping[str, float], after: Mapping[str, float]
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
    write_text(folder / "self_enhancement.json", json.dumps(record, indent=1) + "\n")
    body = [
        fragment(
            """<h1>What it learned from<br>judging its own drawings</h1>
<p class="lead">After an epoch the model draws captions of its training data, a judge says what is wrong with each
drawing, and the dialogues are a part of the epochs that follow.</p>"""
        ),
        _scores(before, after),
        _counts(found),
        *[_round(one, data) for one, data in zip(rounds, found, strict=True)],
    ]
    return write_page(folder / "self_enhancement.html", "Self-enhancement", body)


def _table(title: str, hint: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    return section(title, hint, table(head, [[_shown(cell) for cell in row] for row in rows]))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _scores(before: Mapping[str, float], after: Mapping[str, float]) -> Markup:
    names = [name for name in before if name in after]
    if not names:
        return Markup()
    rows = [[name, before[name], after[name], f"{after[name] - before[name]:+.3f}"] for name in names]
    hint = "Held-out combinations, before the first round and after the last epoch. Training between them is in it."
    return _table("Before and after", hint, ["", "before", "after", "change"], rows)


def _counts(found: Sequence[Mapping[str, Any]]) -> Markup:
    wrong = sorted({name for one in found for name in one["wrong"]})
    plain = ("round", "drawings", "good", "bad", "unjudged", "dialogues", "second_turns")
    asked = any(one["own"]["asked"] for one in found)
    head = [*(name.replace("_", " ") for name in plain), *(f"wrong {name}" for name in wrong)]
    rows = [[*(one[name] for name in plain), *(one["wrong"].get(name, 0) for name in wrong)] for one in found]
    if not asked:
        return _table("Rounds", "", head, rows)
    head.append("own verdicts")
    rows = [[*row, _agreed(one["own"])] for row, one in zip(rows, found, strict=True)]
    hint = "Own verdicts: balanced accuracy of the model's assessments against the judge's, before it learned from these."
    return _table("Rounds", hint, head, rows)


def _agreed(own: Mapping[str, Any]) -> str:
    if own["balanced_accuracy"] is None:
        return f"- ({own['readable']} of {own['asked']} readable)"
    return f"{own['balanced_accuracy']:.2f} ({own['readable']} of {own['asked']} readable)"


def _round(one: RoundReport, data: Mapping[str, Any]) -> Markup:
    bins = [Bin(**b) for b in data["own"]["calibration"]]
    return fragment(
        """<h2>Round {{ number }}</h2>{{ good }}{{ bad }}
{% if plot %}<h3>Its confidence against the judge</h3>{{ plot }}{% endif %}""",
        number=data["round"],
        good=_sheet(one, True, "Found good"),
        bad=_sheet(one, False, "Found bad"),
        plot=_plot(bins) if bins else "",
    )


def _sheet(one: RoundReport, good: bool, title: str) -> Markup:
    which = [i for i, ok in enumerate(one.good) if ok is good][:SHOWN]
    if not which:
        return Markup()
    cells = [Cell(one.image(i), one.prompts[i], good) for i in which]
    return fragment(
        """<h3>{{ title }}</h3><div class="plates"><img alt="" src="{{ sheet }}"></div>
<ul>{% for prompt, why in reasons %}<li>{{ prompt }}: {{ why }}</li>{% endfor %}</ul>""",
        title=title,
        sheet=data_url(encode_image(contact_sheet(cells, COLUMNS))),
        reasons=[(one.prompts[i], _why(one.opinions[i])) for i in which],
    )


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


def _plot(bins: Sequence[Bin]) -> Markup:
    """Confidence across, share found good upwards; on the diagonal it means what it says. Dots grow with their count."""
    total, low, high = sum(b.count for b in bins), SIDE - MARGIN, MARGIN
    span = low - high
    dots = [
        (
            round(high + span * b.confidence, 1),
            round(low - span * b.good, 1),
            round(3 + 6 * b.count / total, 1),
        )
        for b in bins
    ]
    return fragment(
        """<svg viewBox="0 0 {{ side }} {{ side }}" style="max-width:{{ 2 * side }}px" role="img"
aria-label="calibration">
<line x1="{{ high }}" y1="{{ low }}" x2="{{ low }}" y2="{{ high }}"/>
<line x1="{{ high }}" y1="{{ low }}" x2="{{ low }}" y2="{{ low }}"/>
<line x1="{{ high }}" y1="{{ low }}" x2="{{ high }}" y2="{{ high }}"/>
<text x="{{ low }}" y="{{ low + 14 }}" text-anchor="end">sure that it is good</text>
<text x="{{ high }}" y="{{ high - 6 }}">found good</text>
{% for x, y, r in dots %}<circle class="a" cx="{{ x }}" cy="{{ y }}" r="{{ r }}"/>{% endfor %}</svg>""",
        side=SIDE,
        low=low,
        high=high,
        dots=dots,
    )
