"""The page that shows a run's rounds."""

import json

import torch

from judges.assessment import DIMENSIONS, Assessment, Verdict
from judges.judge import Unjudged
from self_enhancement.report import RoundReport, write_enhancement_report


def shown():
    verdicts = {d.name: Verdict(ok=False, reason="<b>none</b>") for d in DIMENSIONS}
    bad = Assessment(rationale="a <script> star", verdicts=verdicts, score=2, overall=False)
    good = bad.model_copy(update={"overall": True, "verdicts": {}, "score": 10})
    counts = {
        "round": 1,
        "drawings": 4,
        "good": 1,
        "bad": 2,
        "unjudged": 1,
        "dialogues": 3,
        "second_turns": 2,
    }
    return RoundReport(
        {**counts, "wrong": {"object": 2}},
        ["a star", "a <i>ring</i>", "a cross", "x"],
        torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8).__getitem__,
        [good, bad, bad, Unjudged("no idea")],
        [True, False, False, None],
        [(True, 0.9), (False, 0.2), (None, 0.0), (True, 0.8)],
    )


def test_the_page_holds_everything_and_opinions_are_only_text(tmp_path):
    page = write_enhancement_report(tmp_path, [shown()], {"geneval/overall": 0.5}, {"geneval/overall": 0.625})
    text = page.read_text()
    for piece in (
        "+0.125",
        "Found good",
        "Found bad",
        "1.00 (2 of 3 readable)",
        "a &lt;i&gt;ring",
        "data:image/png",
    ):
        assert piece in text
    assert "<script>" not in text and "<b>none" not in text and "http" not in text.replace("http-equiv", "")
    record = json.loads((tmp_path / "self_enhancement.json").read_text())
    assert record["rounds"][0]["own"]["balanced_accuracy"] == 1.0 and record["after"] == {
        "geneval/overall": 0.625
    }


def test_without_rounds_or_scores_it_is_still_a_page(tmp_path):
    assert write_enhancement_report(tmp_path, [], {}, {}).read_text().startswith("<!doctype html>")


def test_own_verdicts_that_were_not_asked_for_are_not_shown(tmp_path):
    one = shown()
    one.own = []
    text = write_enhancement_report(tmp_path, [one], {}, {}).read_text()
    assert "own verdicts" not in text and "wrong object" in text
