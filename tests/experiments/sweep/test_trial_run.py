"""A trial's run: watched when it outlives its sweep, and without its objective an error."""

import time

import sweep
from experiments.processes import is_busy
from tests.experiments.sweep.world import COMMAND, SWEEP, error_of, start, starts, wait_for


def test_a_training_that_outlives_its_sweep_is_watched_and_pruned(world):
    """The orphan would train for a minute; its second step is should_stop."""
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 4"))
    sweep.main(COMMAND)
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 5"))
    process = start(world, SECONDS="8")
    wait_for(lambda: len(starts(world)) == 5, process)
    process.kill()
    process.wait()
    run = world / "runs/sweeps/small/trial-0004"
    assert is_busy(run)
    metrics = run / "metrics.csv"
    while not metrics.exists():
        time.sleep(0.01)
    metrics.write_text("step,val/loss\n0,90.0\n1,90.0\n2,90.0\n")
    began = time.monotonic()
    study = sweep.main(COMMAND)
    assert time.monotonic() - began < 30
    assert study.trials[4].state.name == "PRUNED" and len(starts(world)) == 5
    assert not is_busy(run), "it goes on"


def test_an_objective_that_a_whole_run_never_logged_is_an_error(world, capsys):
    (world / "small.yaml").write_text(SWEEP.replace("val/loss", "eval/accuracy"))
    line = error_of(capsys)
    assert line == (
        "sweep.py: error: trial-0000 is finished and never logged the objective 'eval/accuracy': there is val/loss"
    )
