"""`python -m evals` in a test: its report, its error, and interruptions of what it calls."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.__main__ import main


def run(*words: str) -> dict[str, Any]:
    """The report; its time, which differs from run to run, is set to 0."""
    main(["--out", "r.json", *words])
    report = json.loads(Path("r.json").read_text())
    assert report["seconds"] >= 0
    return report | {"seconds": 0}


def error_of(capsys: pytest.CaptureFixture, *words: str) -> str:
    """The one line of a user's error, after which there is no report."""
    with pytest.raises(SystemExit) as stop:
        main(["--out", "none.json", *words])
    assert stop.value.code == 2 and not Path("none.json").exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def run_interrupted(*words: str) -> None:
    """Runs a command in which something raises KeyboardInterrupt."""
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 130


def record_calls(
    patch: pytest.MonkeyPatch, owner: type, method: str, what: Callable[..., list[Any]], limit: int = 10**9
) -> list[Any]:
    """What a method is called with from now on; once there are `limit` such, it raises KeyboardInterrupt."""
    calls: list[Any] = []
    original = getattr(owner, method)

    def recorded(self: Any, *args: Any, **settings: Any) -> Any:
        if len(calls) >= limit:
            raise KeyboardInterrupt
        calls.extend(what(*args))
        return original(self, *args, **settings)

    patch.setattr(owner, method, recorded)
    return calls
