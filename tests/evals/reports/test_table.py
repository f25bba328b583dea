"""The table holds what the papers print and what reports say, tells them apart, and mixes no two benchmarks."""

import json
from pathlib import Path

import pytest

from evals.reports import table
from tests.evals.page import Page

FIGURES = {"geneval/overall": 0.6391, "geneval/counting": 0.755, "vqa/accuracy": 0.8}
PLAYGROUND = FIGURES | {"suite": "playground", "version": "1"}
GENEVAL = {
    "geneval/overall": 0.61,
    "suite": "geneval",
    "version": "1",
    "detector": "m2f (0123)",
    "clip": "clip (4567)",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, content: dict) -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(json.dumps(content))
    return path


def printed(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    table.main(list(arguments))
    return capsys.readouterr().out


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        table.main(list(arguments))
    output = capsys.readouterr()
    assert stop.value.code == 2 and len(output.err.strip().splitlines()) == 1 and not output.out
    return output.err


def test_published_overall_is_the_mean_of_its_categories() -> None:
    """GenEval's own definition: it finds a figure that was typed wrong."""
    categories = [key for key in table.COLUMNS["generation"] if "geneval/" in key and "overall" not in key]
    whole = [row for row in table.published_rows("generation") if set(categories) <= row.figures.keys()]
    assert len(whole) == 12
    for row in whole:
        mean = sum(row.figures[key] for key in categories) / 6
        assert mean == pytest.approx(row.figures["geneval/overall"], abs=0.011), row


def test_genai_bench_is_not_genevals_overall_under_another_name() -> None:
    """The error of copies that print one column twice (ILLUME, table 4: 0.75 basic and 0.60 advanced)."""
    rows = {row.name: row.figures for row in table.published_rows("generation")}
    assert (rows["ILLUME 7B"]["genai/basic"], rows["ILLUME 7B"]["genai/advanced"]) == (0.75, 0.60)
    for name in ("SDXL 2.6B", "Show-o 1.5B", "ILLUME 7B"):
        assert rows[name]["geneval/overall"] not in (rows[name]["genai/basic"], rows[name]["genai/advanced"])


@pytest.mark.parametrize("format", ["markdown", "html", "latex"])
def test_ours_stands_beside_the_papers_with_a_footnote(format: str, capsys: pytest.CaptureFixture) -> None:
    shown = printed(capsys, write("mine/report.json", PLAYGROUND), "--format", format)
    for text in (
        "ILLUME 7B",
        "ILLUME+ 3B",
        "Janus 1.3B",
        "Show-o 1.5B",
        "mine (ours)",
        "0.64",
        "cannot be compared with",
    ):
        assert text in shown
    assert "playground VQA" not in shown


def test_markdown_has_as_many_cells_in_every_line(capsys: pytest.CaptureFixture) -> None:
    path = write("mine/report.json", PLAYGROUND | {"editing/accuracy": 0.6})
    for section in table.COLUMNS:
        lines = [
            line for line in printed(capsys, path, "--section", section).splitlines() if line.startswith("|")
        ]
        assert len({line.count("|") for line in lines}) == 1 and len(lines) > 4


def test_the_page_stands_alone_and_fits_a_phone(capsys: pytest.CaptureFixture) -> None:
    html = printed(capsys, write("<i>/report.json", PLAYGROUND), "--format", "html")
    page = Page(html)
    assert "<i> (ours)" in page.text and not page.sources and html.startswith("<!doctype html>")
    assert 'name="viewport"' in html and '<div class="wide numbers"><table>' in html


def test_decimals_are_those_of_the_papers(capsys: pytest.CaptureFixture) -> None:
    assert "playground VQA" not in (shown := printed(capsys, "--section", "understanding"))
    assert (
        "| 1338.0 |" in shown and "| 669 |" in shown and "| 18.2 |" in shown and "printed as 0.5745" in shown
    )
    assert "| 0.834 |" in (shown := printed(capsys, "--section", "editing")) and "| 0.838 |" in shown


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"a": 1, "suite": "playground"}', '{"geneval/overall": 0.5}']
)
def test_what_is_no_report_is_one_line(content: str | None, capsys: pytest.CaptureFixture) -> None:
    if content is not None:
        Path("x.json").write_text(content)
    assert "x.json" in error_of(capsys, "x.json")


def test_a_report_without_a_figure_of_the_section_is_no_empty_row(capsys: pytest.CaptureFixture) -> None:
    line = error_of(
        capsys, write("a.json", PLAYGROUND), write("b.json", GENEVAL), "--section", "understanding"
    )
    assert (
        "b.json has no figure of the section understanding: give --section generation, or leave it out"
        in line
    )


def lmms(results: dict, asked: int = 9000) -> dict:
    """lmms-eval's file, as it writes one."""
    samples = {task: {"original": 9000, "effective": asked} for task in results}
    return {"results": results, "n-samples": samples, "versions": {}, "lmms_eval_version": "unknown@unknown"}


LMMS = {
    "pope": {"alias": "pope", "pope_accuracy,none": 0.5, "pope_f1_score,none": 0.875},
    "mme": {"mme_perception_score,none": 1234.5, "mme_cognition_score,none": 1.0},
    "mmbench_en_dev": {"gpt_eval_score,none": 75.25},
    "mmvet": {"gpt_eval_score,none": "N/A"},
    "ai2d": {"exact_match,flexible-extract": 0.7},
    "ocrbench": {"ocrbench_accuracy,none": 0.669},
    "gqa": {"exact_match,none": 0.6},
}


def test_what_lmms_eval_found_stands_under_understanding_as_papers_print_it(
    capsys: pytest.CaptureFixture,
) -> None:
    shown = printed(capsys, write("mine/2026_results.json", lmms(LMMS)), "--section", "understanding")
    (line,) = [line for line in shown.splitlines() if "(ours)" in line]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[0].startswith("mine (ours)")
    assert cells[1:] == ["87.5", "75.2", "", "1234.5", "", "", "70.0", "", "", "", "", "669"]
    assert "by lmms-eval (pope's pope_f1_score, mmbench_en_dev's gpt_eval_score, mme's" in shown


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lmms(LMMS, asked=8), "is of 8 of 9000 questions of pope"),
        (lmms({"gqa": LMMS["gqa"]}), "it has gqa"),
        (lmms({"pope": "x"}), "x.json has none of pope, mmbench_en_dev"),
    ],
)
def test_what_is_no_figure_of_a_benchmark_is_refused(
    content: dict, says: str, capsys: pytest.CaptureFixture
) -> None:
    assert says in error_of(capsys, write("x.json", content), "--section", "understanding")


@pytest.mark.parametrize(
    "other",
    [
        GENEVAL,
        GENEVAL | {"detector": "playground (its exact judge)"},
        PLAYGROUND | {"version": "2"},
        {key: value for key, value in PLAYGROUND.items() if key != "version"},
    ],
)
def test_a_column_is_of_one_benchmark_in_one_version(other: dict, capsys: pytest.CaptureFixture) -> None:
    line = error_of(capsys, write("a.json", PLAYGROUND), write("b.json", other))
    assert "a.json (suite playground, version 1)" in line and f"b.json (suite {other['suite']}" in line
    assert "both give geneval/overall" in line


def test_reports_of_one_model_share_a_row(capsys: pytest.CaptureFixture) -> None:
    fid = {"fid": 12.5, "suite": "mjhq", "version": "1", "features": "inception", "samples": 30000}
    paths = [write("geneval.json", GENEVAL | {"model": "ab"}), write("fid.json", fid | {"model": "ab"})]
    shown = printed(capsys, *paths)
    (line,) = [line for line in shown.splitlines() if "(ours)" in line]
    assert line.startswith("| geneval (ours)") and "| 12.50 |" in line and "| 0.61 |" in line
    assert "on 30000 images of MJHQ-30K's 30,000" in shown
    write("fid.json", fid | {"model": "cd"})
    assert printed(capsys, *paths).count("(ours)") == 2


def test_only_mjhqs_fid_stands_in_its_column(capsys: pytest.CaptureFixture) -> None:
    shown = printed(capsys, write("a.json", PLAYGROUND | {"fid": 321.5}))
    assert "321" not in shown and "to other images than MJHQ-30K's" in shown


@pytest.mark.parametrize(
    ("detector", "says", "not_says"),
    [
        ("m2f (0123)", ["with m2f (0123) as the detector and clip (4567)", "mmdet's"], "on the playground"),
        ("playground (its exact judge)", ["cannot be compared with theirs"], "mmdet"),
    ],
)
def test_genevals_own_prompts_have_a_footnote_that_names_the_detector(
    detector: str, says: list[str], not_says: str, capsys: pytest.CaptureFixture
) -> None:
    shown = printed(capsys, write("r.json", GENEVAL | {"detector": detector, "seed": None}))
    assert all(text in shown for text in says) and not_says not in shown


@pytest.mark.parametrize(
    ("vlm", "plays"), [("clip-flant5-xxl (0123)", False), ("playground (its exact judge)", True)]
)
def test_genai_bench_on_the_playground_is_told_from_its_own_prompts(
    vlm: str, plays: bool, capsys: pytest.CaptureFixture
) -> None:
    report = {"genai/basic": 0.7, "genai/advanced": 0.6, "suite": "genai_bench", "version": "1", "vlm": vlm}
    shown = printed(capsys, write("r.json", report))
    assert ("cannot be compared with theirs" in shown) == plays
    assert ("--suite genai_bench`: vlm clip-flant5-xxl (0123)" in shown) != plays
