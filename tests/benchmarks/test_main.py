"""`python -m benchmarks`: each benchmark in a process of its own."""

import json
import subprocess

import pytest

from benchmarks import __main__ as command


@pytest.mark.parametrize(("code", "key"), [(0, "found"), (2, "not_run")])
def test_each_runs_in_a_process_of_its_own_and_is_kept(code, key, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "kept")
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    done = subprocess.CompletedProcess([], code, '{"speedup": 1}', "a line\nwhat to do")
    seen = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: seen.append(command[1:]) or done)
    command.main(["--only", "training", "cost"])
    assert seen[0] == ["-m", "benchmarks.training", "--json"] and "--svg" in seen[1]
    kept = json.loads((tmp_path / "kept" / "training.json").read_text())
    assert kept[key] == {"found": {"speedup": 1}, "not_run": "what to do"}[key]
    assert (tmp_path / "page.md").is_file()


def test_a_benchmark_that_breaks_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "oh")
    )
    with pytest.raises(subprocess.CalledProcessError):
        command.main(["--only", "loss"])
