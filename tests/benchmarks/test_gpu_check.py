"""The script for a GPU, on the CPU as far as it goes: each check is a line, and none stops the others."""

import json
import os
import time

import pytest

from benchmarks import gpu_check, gpu_checks

TINY = ["--device", "cpu", "--size", "tiny"]


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_failed_check_is_a_line_and_the_next_one_runs(monkeypatch, capsys):
    def fails(setting):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def dies(setting):
        os._exit(7)

    def hangs(setting):
        time.sleep(60)

    def works(setting):
        return {"ok": True}

    checks = {"fails": fails, "dies": dies, "hangs": hangs, "works": works}
    monkeypatch.setattr(gpu_checks, "CHECKS", checks)
    monkeypatch.setattr(gpu_check, "MAX_SECONDS", 1)
    with pytest.raises(SystemExit) as stop:
        gpu_check.main(TINY)
    found = lines(capsys)
    assert stop.value.code == 1 and [one["ok"] for one in found] == [False, False, False, True, False]
    assert "illegal memory access" in found[0]["error"] and found[0]["at"].startswith("test_gpu_check.py:")
    assert found[1]["error"] == "its process ended with 7" and found[2]["error"] == "not done in 1 s"
    assert found[4] == {"check": "all", "ok": False, "good": 1, "bad": 3, "unknown": 0}


def test_a_run_keeps_to_its_time_and_lists_what_it_left_out(monkeypatch, capsys):
    monkeypatch.setattr(gpu_checks, "CHECKS", {"slow": lambda setting: time.sleep(60), "next": lambda s: {}})
    start = time.monotonic()
    with pytest.raises(SystemExit):
        gpu_check.main([*TINY, "--seconds", "2"])
    found = lines(capsys)
    assert time.monotonic() - start < 20 and found[0]["error"] == "not done in 2 s"
    assert found[1]["ok"] is None and "no time is left" in found[1]["skipped"]


@pytest.mark.parametrize("given", [["--size", "9b"], ["--only", "nothing"], ["--seconds", "0"]])
def test_wrong_options_are_one_line(given, capsys):
    with pytest.raises(SystemExit) as stop:
        gpu_check.main([*TINY, *given])
    assert stop.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()[-1]) < 300
