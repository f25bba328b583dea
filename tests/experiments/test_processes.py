"""Locks of runs, which child processes inherit."""

import pytest

from experiments import processes


def test_a_run_belongs_to_one_process(tmp_path):
    (tmp_path / "runs").mkdir()
    with (
        processes.run_lock(tmp_path / "runs/plain-3"),
        pytest.raises(ValueError, match="still worked on"),
        processes.run_lock(tmp_path / "runs/plain-3"),
    ):
        pass
    with processes.run_lock(tmp_path / "runs/plain-3"):
        pass
