"""Scores are stored line by line; stale and damaged rows are dropped."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.hashes import hash_json
from evals.score_cache import ScoreCache, Scores, cached_scores

FINGERPRINTS = {name: f"fingerprint {name}" for name in "abc"}


def row(name: str, value: Any = 0.5, **other: Any) -> dict[str, Any]:
    return {"name": name, "fingerprint": FINGERPRINTS.get(name, "?"), "scores": {"x": value}} | other


def line(name: str, value: Any = 0.5, **other: Any) -> str:
    return json.dumps(row(name, value, **other)) + "\n"


def test_stored_rows_are_read_again(tmp_path: Path) -> None:
    first = ScoreCache(tmp_path / "s.jsonl", FINGERPRINTS)
    rows = {"b": row("b", scores={"x": 0.25, "y": None}), "a": row("a", 1.0)}
    for name, one in rows.items():
        first.add(name, one)
    again = ScoreCache(tmp_path / "s.jsonl", FINGERPRINTS)
    assert again.rows == first.rows == rows


@pytest.mark.parametrize(
    "stale",
    [
        line("b", fingerprint="other"),
        line("b", "high"),
        line("b", scores=3),
        line("b", fingerprint=1),
        "[]\n",
        "{\n",
        line("a"),
    ],
)
def test_stale_and_damaged_rows_are_dropped(tmp_path: Path, stale: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + stale + line("c"))
    assert ScoreCache(path, FINGERPRINTS).rows.keys() == {"a", "c"}
    assert path.read_text() == line("a") + line("c")


def test_a_truncated_last_line_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + line("b")[:-1])
    cache = ScoreCache(path, FINGERPRINTS)
    cache.add("b", row("b"))
    assert path.read_text() == line("a") + line("b")


def test_a_smaller_run_keeps_the_rows_of_a_larger_one(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + line("b") + line("c"))
    assert ScoreCache(path, {"b": FINGERPRINTS["b"]}).rows.keys() == {"b"}
    assert ScoreCache(path, FINGERPRINTS).rows.keys() == set(FINGERPRINTS)


def test_only_missing_scores_are_computed_and_each_scorer_has_a_file(tmp_path: Path) -> None:
    scorers = [{"vlm": vlm, "version": "1"} for vlm in "ab"]
    path = tmp_path / f"scores-{hash_json({'version': '1', 'vlm': 'a'})}.jsonl"
    path.write_text(line("b"))
    computed: list[str] = []

    def score(name: str) -> Scores:
        computed.append(name)
        return {"x": 0.75}

    scores, file = cached_scores(tmp_path, scorers[0], FINGERPRINTS, score)
    assert computed == ["a", "c"] and scores == {"b": {"x": 0.5}, "a": {"x": 0.75}, "c": {"x": 0.75}}
    assert file == path.name and path.read_text() == line("b") + line("a", 0.75) + line("c", 0.75)
    assert cached_scores(tmp_path, scorers[1], FINGERPRINTS, score)[1] != file and len(computed) == 5
