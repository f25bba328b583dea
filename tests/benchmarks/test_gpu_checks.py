"""The checks for a GPU, on the CPU as far as it goes."""

import importlib.util
import json

from benchmarks import gpu_check, gpu_checks
from tests.benchmarks.test_gpu_check import TINY, lines


def test_every_check_runs_on_a_cpu(tmp_path, capsys):
    gpu_check.main([*TINY, "--out", str(tmp_path / "kept.jsonl")])
    found = lines(capsys)
    assert [one["check"] for one in found] == [*gpu_checks.CHECKS, "all"]
    about = {one["check"]: one for one in found}
    if importlib.util.find_spec("peft") is None:
        assert about.pop("lora")["ok"] is None
    else:
        assert about["lora"]["ok"] is True and about["lora"]["learning"] < about["step"]["learning"]
    assert all(one["ok"] is True for one in about.values()), found
    assert set(about["codes"]["differ"].values()) == {0.0} and about["codes"]["codes"] > 0
    assert about["graph"]["differ"] == 0 and 0 < about["step"]["mfu"] < 1
    assert [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines()] == found
