"""The page of all benchmarks: aims reached and missed, rooflines, and text that stays."""

import json

import pytest

from benchmarks.performance import BEGIN, END, write_performance

LINE = {
    "mib": 36.5,
    "gflop": 1.25,
    "gib_per_second": 20.0,
    "gflop_per_second": 200.0,
    "bound_by": "bytes",
    "allowed_seconds": 0.5,
    "seconds": 2.0,
    "share": 0.25,
}
ABOUT = {
    "command": "python -m benchmarks.x --json",
    "date": "2026-01-02",
    "machine": "Linux",
    "took_seconds": 9,
}


def keep(folder, **found):
    folder.mkdir(exist_ok=True)
    for name, content in found.items():
        (folder / f"{name}.json").write_text(json.dumps(ABOUT | content))


def rows(page, start):
    return [line for line in page.read_text().splitlines() if line.startswith(f"| {start}")]


def test_figures_stand_beside_their_aims(tmp_path):
    drawing = {
        "generate": {"speedup": 5.5, "spread": [5.1, 6.0], "matrix_share": 0.7, "roofline": LINE},
        "versions": {"torch": "2.13.0"},
        "threads": 2,
    }
    loss = {"memory_over_full": 0.14, "seconds_over_full": 1.05, "spread": [1.0, 1.1]}
    keep(tmp_path / "kept", drawing={"found": drawing}, loss={"found": loss})
    keep(tmp_path / "kept", quantizer={"not_run": "the peer is not there"})
    page = tmp_path / "page.md"
    write_performance(tmp_path / "kept", page)
    (speed,), (share,) = rows(page, "drawing over `transformers` gen"), rows(page, "share of matrix")
    assert "at least 5 | 5.5 | 5.1 to 6 | reached" in speed
    assert "| 0.7 |  | **missed** |" in share
    (memory,) = rows(page, "memory of the chunked")
    assert "at most 0.333 | 0.14 |  | reached" in memory
    (line,) = rows(page, "drawing: generate")
    assert line.endswith("| 36.5 | 1.25 | 20 | 200 | bytes | 0.5 | 2 | 0.25 |")
    assert (
        "not run: the peer is not there" in page.read_text() and "torch 2.13.0 | 2 | 9 s" in page.read_text()
    )


def test_text_around_the_marks_stays(tmp_path):
    keep(tmp_path / "kept", loss={"found": {"memory_over_full": 0.5}})
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\n## Why\n\nBecause.\n")
    for _ in range(2):
        write_performance(tmp_path / "kept", page)
    text = page.read_text()
    assert text.startswith("# Mine\n") and text.endswith("## Why\n\nBecause.\n") and "old" not in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="two marks"):
        write_performance(tmp_path / "kept", page)


def test_costs_are_listed_and_shown(tmp_path):
    at = {"seconds_an_image": 0.1, "allowed_an_image": 0.05, "share": 0.5, "bound_by": "bytes"}
    keep(tmp_path / "kept", cost={"found": {"batch": {"8": at}, "parameters": {"7000000": at}}})
    write_performance(tmp_path / "kept", tmp_path / "page.md")
    assert (
        rows(tmp_path / "page.md", "7,000,000 parameters")
        and "cost.svg" in (tmp_path / "page.md").read_text()
    )
