"""Verdicts are stored line by line; stale and damaged ones are dropped."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.geneval.results import Results

METADATA = '{"tag": "x"}'
FINGERPRINTS = {f"0000{i}/samples/0000.png": (f"hash{i}", METADATA) for i in range(3)}


def result(i: int, **other: Any) -> dict[str, Any]:
    name = f"0000{i}/samples/0000.png"
    row = {"filename": name, "tag": "x", "prompt": "y", "correct": i == 1, "reason": "", "details": "{}"}
    return row | {"metadata": METADATA, "image": f"hash{i}"} | other


def test_stored_rows_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = Results(path, FINGERPRINTS)
    for i in (2, 1):
        first.add(result(i)["filename"], result(i))
    before = path.read_bytes()
    again = Results(path, FINGERPRINTS)
    assert again.rows == first.rows == {result(i)["filename"]: result(i) for i in (1, 2)}
    assert path.read_bytes() == before
    assert [json.loads(line) for line in before.splitlines()] == [result(2), result(1)]


@pytest.mark.parametrize(
    "stale",
    [
        result(1, image="other"), result(1, metadata="{}"), result(1, filename="00009/samples/0000.png"),
        result(1, correct="yes"), result(1, reason=None), [], "x",
    ],
)  # fmt: skip
def test_stale_and_damaged_rows_are_dropped(tmp_path: Path, stale: Any) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (result(0), stale, result(2))))
    assert list(Results(path, FINGERPRINTS).rows.values()) == [result(0), result(2)]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [result(0), result(2)]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_truncated_last_line_is_removed(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    whole = "".join(json.dumps(result(i)) + "\n" for i in (0, 1))
    path.write_text(whole[:-cut])
    results = Results(path, FINGERPRINTS)
    assert list(results.rows.values()) == [result(0)]
    results.add(result(1)["filename"], result(1))
    assert path.read_text() == whole


def test_a_repeated_line_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text((json.dumps(result(0)) + "\n") * 2)
    Results(path, FINGERPRINTS)
    assert len(path.read_text().splitlines()) == 1
