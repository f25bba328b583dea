"""The command line of all benchmarks, and measurements in alternation."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from benchmarks.harness import Pairs, alternate, median_of, peak_bytes, reset_peak, run, seconds


def test_sides_alternate():
    order = []
    measured = iter([2.0, 1.0, 6.0, 2.0])
    pairs = alternate(
        lambda: order.append("theirs"), lambda: order.append("ours"), 2, lambda side: side() or next(measured)
    )
    assert order == ["theirs", "ours"] * 2 and pairs == Pairs([2.0, 6.0], [1.0, 2.0])
    assert pairs.speedup() == {"speedup": 2.5, "spread": [2.0, 3.0]}
    assert pairs.cost("over") == {"over": 0.417, "spread": [0.333, 0.5]}
    assert (pairs.their_median, pairs.our_median) == (4.0, 1.5)
    assert median_of([1.04, 3.0, 2.0], "x", 1) == {"x": 2.0, "spread": [1.0, 3.0]}
    assert 0 < seconds(lambda: sum(range(1000))) < 10


def measure(
    rounds: int = 5,
    sizes: tuple[int, ...] = (1, 2),
    kind: Literal["a", "b"] = "a",
    more_checks: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measures nothing.

    Args:
        rounds: how often.
        sizes: of what.
        kind: of it.
        more_checks: whether to check.
        out: a file.
    """
    if rounds < 1:
        raise ValueError("--rounds is 1 or more")
    return {"options": {"rounds": rounds, "sizes": sizes, "kind": kind, "more": more_checks, "out": str(out)}}


def test_options_are_the_arguments_of_a_function(capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    run(measure, "pillow", arguments="--sizes 3 4 --kind b --more-checks --out ~/x --json".split())
    found = json.loads(capsys.readouterr().out)
    assert found["options"] == {"rounds": 5, "sizes": [3, 4], "kind": "b", "more": True, "out": "/home/me/x"}
    assert set(found["versions"]) == {"torch", "pillow"} and found["cpus"] >= 1
    run(measure, arguments=[])
    assert "options.sizes" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(measure, arguments=["--help"])
    text = capsys.readouterr().out
    assert "The command line of all benchmarks" in text and "how often (default: 5)" in text


@pytest.mark.parametrize("wrong", ["--rounds 0", "--kind c", "--size 1", "--rounds x"])
def test_wrong_options_are_one_line(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        run(measure, arguments=wrong.split())
    assert stop.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_the_peak_of_memory_is_set_back():
    before = reset_peak()
    content = bytearray(50_000_000)
    content[::4096] = b"x" * len(content[::4096])
    assert peak_bytes() - before > 40_000_000
    del content
    assert reset_peak() - before < 40_000_000
