"""Trials that fail, and a sweep that ends for them."""

import sweep
from common.errors import DIVERGED
from tests.experiments.sweep.world import COMMAND, SWEEP, error_of, starts, study_of


def test_a_failed_trial_is_reported_and_the_others_go_on(world, monkeypatch, capsys):
    monkeypatch.setenv("CRASH_ABOVE", "0.3")
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 8").replace("seed: 0", "seed: 3"))
    study = sweep.main(COMMAND)
    failed = [t for t in study.trials if t.state.name == "FAIL"]
    assert failed and len(study.trials) == 8 and all(t.params["model.lr"] > 0.3 for t in failed)
    assert (
        f"| {failed[0].number} | failed: trial-{failed[0].number:04d} failed: train.py: error: the rate is too high"
        in (capsys.readouterr().out)
    )


def test_a_failed_first_trial_ends_the_sweep_and_is_tried_again(world, monkeypatch, capsys):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 2"))
    monkeypatch.setenv("CRASH_ABOVE", "0")
    line = error_of(capsys)
    assert (
        "trial-0000 failed: train.py: error: the rate is too high (exit code 1; all of its output is in"
        in line
    )
    assert study_of(world).trials[0].state.name == "RUNNING" and len(starts(world)) == 1
    monkeypatch.delenv("CRASH_ABOVE")
    study = sweep.main(COMMAND)
    assert study.trials[0].state.name == "COMPLETE" and len(study.trials) == 2


def test_a_sweep_goes_on_where_its_first_trials_diverge(world):
    """A rate may be too high: that is the trial's own fault, and says nothing of the others."""
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 5"))
    code = (world / "train.py").read_text()
    ends = f"if folder.name < 'trial-0003':\n    sys.exit('train.py: error: {DIVERGED}: the loss')\nfolder.mkdir("
    (world / "train.py").write_text(code.replace("folder.mkdir(", ends))
    trials = sweep.main(COMMAND).trials
    assert [trial.state.name for trial in trials[:3]] == ["FAIL"] * 3 and len(trials) == 5
    assert all(DIVERGED in trial.user_attrs["why"] for trial in trials[:3])
    assert "FAIL" not in {trial.state.name for trial in trials[3:]}
