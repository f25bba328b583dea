"""Numbers are kept line by line, and only what still holds is believed."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.hashes import hash_bytes, hash_json
from evals.score_cache import KeptScores, Numbers, scores_file

STAMPS = {name: f"stamp {name}" for name in "abc"}


def line(name: str, value: Any = 0.5, **other: Any) -> str:
    said = {"name": name, "stamp": STAMPS.get(name, "?"), "numbers": {"x": value}} | other
    return json.dumps(said) + "\n"


def test_what_was_kept_is_known_again(tmp_path: Path) -> None:
    first = KeptScores(tmp_path / "s.jsonl", STAMPS)
    first.add("b", {"x": 0.25, "y": None})
    first.add("a", {"x": 1.0})
    again = KeptScores(tmp_path / "s.jsonl", STAMPS)
    assert again.known == first.known == {"b": {"x": 0.25, "y": None}, "a": {"x": 1.0}}


@pytest.mark.parametrize(
    "stale",
    [line("b", stamp="other"), line("b", "high"), line("b", numbers=3), line("b", stamp=1), "[]\n", "{\n", line("a")],
)  # fmt: skip
def test_what_does_not_hold_is_dropped(tmp_path: Path, stale: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + stale + line("c"))
    assert KeptScores(path, STAMPS).known.keys() == {"a", "c"}
    assert path.read_text() == line("a") + line("c")


def test_a_last_line_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + line("b")[:-1])
    kept = KeptScores(path, STAMPS)
    kept.add("b", {"x": 0.5})
    assert path.read_text() == line("a") + line("b")


def test_a_smaller_run_costs_nothing_of_a_larger_one(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("a") + line("b") + line("c"))
    assert KeptScores(path, {"b": STAMPS["b"]}).known.keys() == {"b"}
    assert KeptScores(path, STAMPS).known.keys() == set(STAMPS)


def test_only_what_is_not_known_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line("b"))
    measured: list[str] = []

    def measure(name: str) -> Numbers:
        measured.append(name)
        return {"x": 0.75}

    kept = KeptScores(path, STAMPS)
    kept.complete(measure)
    assert measured == ["a", "c"] and kept.known["b"] == {"x": 0.5}
    assert path.read_text() == line("b") + line("a", 0.75) + line("c", 0.75)


def test_each_scorer_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = [scores_file(tmp_path, {"vlm": vlm, "version": "1"}).name for vlm in "ab"]
    assert names[0] != names[1] and names[0] == f"scores-{hash_json({'version': '1', 'vlm': 'a'})}.jsonl"


def test_a_stamp_tells_where_one_content_ends() -> None:
    assert hash_bytes(b"ab", b"c") != hash_bytes(b"a", b"bc") and hash_bytes(b"ab", b"c") == hash_bytes(b"ab", b"c")
