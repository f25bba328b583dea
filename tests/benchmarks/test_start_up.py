"""The benchmark of start-up time."""

import sys

import pytest

from benchmarks import start_up


def test_the_first_step_is_waited_for_and_its_absence_reported(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import pathlib, time\npathlib.Path('runs/one').mkdir(parents=True)\n"
        "pathlib.Path('runs/one/metrics.csv').write_text('step\\n0\\n')\ntime.sleep(60)"
    )
    assert 0 < start_up.first_step(tmp_path, "one", [sys.executable, str(script)]) < 30
    with pytest.raises(RuntimeError, match="no first step: .*what is this"):
        start_up.first_step(tmp_path, "two", [sys.executable, "-c", "raise SystemExit('what is this')"])
