"""Pages hold whatever they are given as text: nothing in them runs, and no picture comes from elsewhere."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from common.pages import fragment, page
from evals.reports import compare, table
from evals.reports.report import write_report
from evals.reports.same_prompts import SamePrompts
from evals.reports.table_formats import html
from judges.assessment import Assessment, Verdict
from judges.judge import Unjudged
from self_enhancement.report import RoundReport, write_enhancement_report

SCRIPT = "<script>document.title='PWNED'</script><img src=x onerror=\"document.title='PWNED'\">"
QUOTES = "\" onmouseover=document.title='PWNED' autofocus onfocus=alert(1) x=\"'><svg onload=document.title='PWNED'>"
TEMPLATE = "{{ 7 * 7 }}{% raw %}{{ self }}"


class Live(HTMLParser):
    """Collects what could run or load: scripts, handlers, and addresses that are not within the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form"):
            self.found.append(tag)
        for name, value in attrs:
            outside = name in ("src", "href") and not (value or "").startswith("data:image/")
            if name.startswith("on") or outside:
                self.found.append(f"{tag} {name}={value}")


def check(path: Path, *shown: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert Live(text).found == []
    assert "Content-Security-Policy" in text and "default-src 'none'" in text
    words = Text(text).text
    assert all(" ".join(one.split()) in words for one in shown), [one for one in shown if one not in words]


class Text(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.feed(text)
        self.text = " ".join("".join(self.pieces).split())

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def test_a_report_of_hostile_figures(tmp_path: Path) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    run.mkdir()
    Image.new("RGB", (8, 8)).save(images / "p.png")
    drawing = {"file": "p.png", "prompt": SCRIPT, "ok": False, "reasons": [QUOTES]}
    (images / "pictures.json").write_text(
        json.dumps({"drawings": [drawing], "reconstructions": [], "edits": []})
    )
    (run / "metrics.csv").write_text(f'step,"train/loss_{QUOTES.replace(chr(34), chr(34) * 2)}"\n0,1\n9,2\n')
    metrics: dict[str, Any] = {
        **dict.fromkeys(
            ("cpus", "command", "machine", "date", "seed", "scale", SCRIPT, f"a/{QUOTES}"), QUOTES
        ),
        "geneval/overall": float("nan"),
        TEMPLATE: TEMPLATE,
    }
    path = write_report(tmp_path, metrics, {SCRIPT: run}, images)
    check(path, SCRIPT, QUOTES, TEMPLATE)


def test_a_score_that_is_no_number_reaches_nothing(tmp_path: Path) -> None:
    path = write_report(tmp_path, {"geneval/overall": float("nan"), "scale": "demo"}, {}, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "below the bound" in text and "reached" not in text.split("Every figure")[0].replace("GenEval", "")


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "link.png", "notes.txt", 3, None, "p.png\0"]
)
def test_a_report_embeds_pictures_of_its_own_folder_alone(tmp_path: Path, name: Any) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "notes.txt").write_text("a password")
    drawing = {"file": name, "prompt": "a star", "ok": True, "reasons": []}
    (images / "pictures.json").write_text(
        json.dumps({"drawings": [drawing], "reconstructions": [], "edits": []})
    )
    with pytest.raises((ValueError, FileNotFoundError)):
        write_report(tmp_path, {}, {}, images)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "text", ["[]", '{"drawings": 3}', '{"drawings": [{}]}', '{"drawings": [[1]]}', "{", ""]
)
def test_a_list_of_pictures_of_another_shape_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "pictures.json").write_text(text)
    with pytest.raises(ValueError, match="pictures.json"):
        write_report(tmp_path, {}, {}, tmp_path)


def test_a_page_of_self_enhancement_of_hostile_rounds(tmp_path: Path) -> None:
    verdicts = {SCRIPT: Verdict(ok=False, reason=QUOTES)}
    opinion = Assessment(rationale=SCRIPT, verdicts=verdicts, score=3, overall=False)
    summary = {
        **dict.fromkeys(
            ("round", "drawings", "good", "bad", "unjudged", "dialogues", "second_turns"), SCRIPT
        ),
        "wrong": {SCRIPT: 1, QUOTES: 2},
    }
    image = torch.zeros(3, 48, 48, dtype=torch.uint8)
    own = [(True, 0.5), (False, 0.5)]
    shown = RoundReport(
        summary, [SCRIPT, QUOTES], lambda i: image, [opinion, Unjudged(QUOTES)], [True, False], own
    )
    scores = {SCRIPT: 1.0, QUOTES: float("nan")}
    check(write_enhancement_report(tmp_path, [shown], scores, scores), SCRIPT, QUOTES, "nan")


def test_a_comparison_of_hostile_runs(tmp_path: Path) -> None:
    runs = []
    for number, name in enumerate((SCRIPT, QUOTES)):
        runs.append(tmp_path / f"run{number}")
        runs[-1].mkdir()
        settings = {"name": name, "model": {"class_path": f"x.{SCRIPT}", "init_args": {QUOTES: number}}}
        (runs[-1] / "config.yaml").write_text(json.dumps(settings))
        (runs[-1] / "metrics.csv").write_text(
            f'step,"train/{QUOTES.replace(chr(34), chr(34) * 2)}"\n0,1\n1,2\n'
        )
        (runs[-1] / "report.json").write_text(json.dumps({SCRIPT: 0.5, f"geneval/{QUOTES}": 1.0}))
    path = compare.compare((runs[0], runs[1]), tmp_path / "page.html", SamePrompts(0), across=True)
    check(path, SCRIPT, QUOTES)


def test_a_table_of_hostile_reports(tmp_path: Path) -> None:
    folder = tmp_path / "<script>x<"
    folder.mkdir()
    report = {"suite": SCRIPT, "version": QUOTES, "geneval/overall": 0.5, "detector": SCRIPT}
    (folder / "report.json").write_text(json.dumps(report))
    path = tmp_path / "table.html"
    path.write_text(html(table.build("generation", [table.read_report(folder / "report.json")])))
    check(path, "<script>x<", SCRIPT)


def test_a_text_that_was_never_meant_as_markup_is_escaped() -> None:
    assert "<script>" not in page("<script>", ["<script>1</script>"])
    assert (
        fragment("<p title='{{ x }}'>{{ x }}</p>", x="'\"<&")
        == "<p title='&#39;&#34;&lt;&amp;'>&#39;&#34;&lt;&amp;</p>"
    )
