"""The table holds what the papers print and what reports say, and tells them apart."""

import json

import pytest

from evals import table


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "mine" / "report.json"
    path.parent.mkdir()
    figures = {
        "geneval/overall": 0.6391,
        "geneval/counting": 0.755,
        "vqa/accuracy": 0.8,
        "suite": "playground",
    }
    path.write_text(json.dumps(figures))
    return path


def test_published_overall_is_the_mean_of_its_categories():
    """GenEval's own definition: it finds a figure that was typed wrong."""
    categories = [
        key for key in table.COLUMNS["generation"] if key.startswith("geneval/") and "overall" not in key
    ]
    for row in table.published("generation"):
        values = [row.figures[key] for key in categories if key in row.figures]
        assert len(values) == 6 and sum(values) / 6 == pytest.approx(
            row.figures["geneval/overall"], abs=0.011
        ), row


@pytest.mark.parametrize("format", ["markdown", "html", "latex"])
def test_ours_stands_beside_the_papers_with_a_footnote(report, format, capsys):
    assert table.main([str(report), "--format", format]) == 0
    told = capsys.readouterr().out
    for text in ("ILLUME 7B", "Show-o 1.5B", "mine (ours)", "0.64", "cannot be compared with theirs"):
        assert text in told
    assert "playground VQA" not in told


def test_markdown_has_as_many_cells_in_every_line(report, capsys):
    for section in table.COLUMNS:
        table.main([str(report), "--section", section])
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1 and len(lines) > 4


def test_a_measure_that_nobody_has_is_left_out(capsys):
    table.main(["--section", "understanding"])
    told = capsys.readouterr().out
    assert "playground VQA" not in told and "1445.3" in told and "669" in told


@pytest.mark.parametrize("content", [None, "{", "[]", '{"a": 1}'])
def test_what_is_no_report_is_one_line(tmp_path, content, capsys):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert table.main([str(path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_special_letters_are_escaped():
    one = table.Table(["a_b"], [["50 % & <x> | y"]], [])
    assert (
        r"50 \% \& <x>" in table.latex(one)
        and "&lt;x&gt;" in table.page(one)
        and r"\| y" in table.markdown(one)
    )


@pytest.mark.parametrize(
    ("detector", "says", "not_says"),
    [
        ("m2f (0123)", ["with m2f (0123) as the detector and clip (4567)", "mmdet's"], "on the playground"),
        ("playground (its exact judge)", ["cannot be compared with theirs"], "mmdet"),
    ],
)
def test_genevals_own_prompts_have_a_footnote_that_names_the_detector(
    tmp_path, detector, says, not_says, capsys
):
    path = tmp_path / "r.json"
    told = {"geneval/overall": 0.61, "suite": "geneval", "detector": detector, "clip": "clip (4567)"}
    path.write_text(json.dumps(told | {"seed": None}))
    assert table.main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in says) and not_says not in printed


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ("mjhq", "on 200 images of MJHQ-30K's 30,000"),
        ("fid", "against coco.zip, not MJHQ-30K, on 200 images"),
    ],
)
def test_fid_has_a_footnote_that_says_of_what(tmp_path, suite, says, capsys):
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps({"fid": 9.87, "kid/std": 0.1, "suite": suite, "real": "coco.zip", "samples": 200})
    )
    assert table.main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "9.87" in printed and says in printed
