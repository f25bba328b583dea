"""Verdicts are kept line by line, and only what still holds is believed."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.geneval.results import Results

IMAGES = {f"0000{i}/samples/0000.png": f"hash{i}" for i in range(3)}
METADATA = dict.fromkeys(IMAGES, '{"tag": "x"}')


def result(i: int, **other: Any) -> dict[str, Any]:
    name = f"0000{i}/samples/0000.png"
    said = {"filename": name, "tag": "x", "prompt": "y", "correct": i == 1, "reason": "", "details": "{}"}
    return said | {"metadata": METADATA[name], "image": IMAGES[name]} | other


def test_what_was_kept_is_known_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = Results(path, IMAGES, METADATA)
    for i in (2, 1):
        first.add(result(i))
    before = path.read_bytes()
    again = Results(path, IMAGES, METADATA)
    assert again.known == first.known == {result(i)["filename"]: result(i) for i in (1, 2)}
    assert path.read_bytes() == before
    assert [json.loads(line) for line in before.splitlines()] == [result(2), result(1)]


@pytest.mark.parametrize(
    "stale",
    [
        result(1, image="other"), result(1, metadata="{}"), result(1, filename="00009/samples/0000.png"),
        result(1, correct="yes"), result(1, reason=None), [], "x",
    ],
)  # fmt: skip
def test_what_does_not_hold_is_dropped(tmp_path: Path, stale: Any) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (result(0), stale, result(2))))
    assert list(Results(path, IMAGES, METADATA).known.values()) == [result(0), result(2)]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [result(0), result(2)]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_last_line_that_was_cut_off_is_taken_back(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    whole = "".join(json.dumps(result(i)) + "\n" for i in (0, 1))
    path.write_text(whole[:-cut])
    results = Results(path, IMAGES, METADATA)
    assert list(results.known.values()) == [result(0)]
    results.add(result(1))
    assert path.read_text() == whole


def test_a_line_that_stands_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text((json.dumps(result(0)) + "\n") * 2)
    Results(path, IMAGES, METADATA)
    assert len(path.read_text().splitlines()) == 1
