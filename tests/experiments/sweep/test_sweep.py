"""A sweep finishes, prunes, is killed and goes on, and is shared by several processes."""

import os
import signal
import time
from pathlib import Path

import optuna
import pytest
import yaml

import sweep
from common.errors import DIVERGED
from experiments.processes import is_busy
from experiments.sweep.claims import Claims, TrialLost
from experiments.sweep.recipe import read_recipe
from experiments.sweep.result import best, table
from tests.experiments.sweep.world import STEPS, SWEEP, error_of, outcomes, start, starts, study_of, wait_for
from training.metrics_file import read_rows

COMMAND = ["--config", "small.yaml"]


def rows_of(folder: Path, number: int) -> list[dict]:
    return read_rows(folder / f"runs/sweeps/small/trial-{number:04d}/metrics.csv")[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[tuple]:
    """What becomes of the trials of a sweep that nothing cuts off; made by the first test that asks."""
    return []


def test_twelve_trials_with_pruning_and_their_results(world, with_page, capsys, whole):
    study = sweep.main(COMMAND)
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 12 and states.count("PRUNED") >= 3 and states.count("COMPLETE") >= 3
    assert len(starts(world)) == 12
    for trial in study.trials:
        logged = rows_of(world, trial.number)
        if trial.state.name == "COMPLETE":
            assert len(logged) == STEPS and trial.value == float(logged[-1]["val/loss"])
        else:
            assert trial.last_step < STEPS - 1
    trained = sum(len(rows_of(world, number)) for number in range(12))
    assert trained < 12 * STEPS, "should_stop trials were trained to their ends"
    found = best(study)
    assert found.number == study.best_trial.number
    folder = world / "runs/sweeps/small"
    config = yaml.safe_load((folder / "best.yaml").read_text())
    lr, trunk = found.params["model.lr"], found.params["model.init_args.learning_rates.trunk"]
    assert config["model"]["init_args"] == {"lr": lr, "learning_rates": {"trunk": trunk, "text": 0.1}}
    assert config["extends"] == [str(world / "stage.yaml")] and config["name"] == "sweeps/small/best"
    out, err = capsys.readouterr()
    assert f"| {found.number} * | complete | {found.value:.4g} |" in out and out.count("pruned at step") >= 3
    assert f"the best is trial {found.number}" in err
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 4 and "http" not in page.replace("http-equiv", "")
    assert table(study, read_recipe(world / "small.yaml")).count("\n") == 14

    before = outcomes(study)
    assert outcomes(sweep.main(COMMAND)) == before and len(starts(world)) == 12, "nothing is done twice"
    whole[:] = before


def test_a_sweep_killed_twice_gives_the_same_trials(world, whole):
    """Once alone, so that its training lives on, and once with its training."""
    if not whole:
        whole[:] = outcomes(sweep.main([*COMMAND, "--runs_dir", "uncut"]))
    complete = [number for number, state, *_ in whole if state == "COMPLETE"]
    killed = complete[1], complete[-1]
    for kill, number in zip((os.kill, os.killpg), killed, strict=True):
        process = start(world, SECONDS="0.1")
        wait_for(lambda number=number: len(rows_of(world, number)) >= 2, process)
        kill(process.pid, signal.SIGKILL)
        process.wait()
        assert study_of(world).trials[number].state.name == "RUNNING"
    process = start(world)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert outcomes(study_of(world)) == whole
    begun = starts(world)
    assert {s["trial"] for s in begun} == {f"trial-{n:04d}" for n in range(12)}
    for name in (f"trial-{number:04d}" for number in killed):
        assert [s["from"] for s in begun if s["trial"] == name][0] == 0
        assert all(s["from"] >= 2 for s in [s for s in begun if s["trial"] == name][1:]), "it began anew"
    for number in range(12):
        steps = [int(row["step"]) for row in rows_of(world, number)]
        assert steps == list(range(len(steps))), "two trainings wrote one trial"


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


@pytest.mark.parametrize("storage", ["", "journal.log"])
def test_two_processes_share_a_sweep(world, storage):
    words = ["--storage", storage] if storage else []
    both = [start(world, *words, SECONDS="0.05") for _ in range(2)]
    outs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    found = (
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(world / storage)))
        if storage
        else ""
    )
    study = study_of(world, found)
    counted = [t for t in study.trials if not t.user_attrs.get("surplus")]
    assert len(counted) == 12 and all(t.state.is_finished() for t in counted)
    assert sorted(s["trial"] for s in starts(world)) == [f"trial-{t.number:04d}" for t in counted]
    assert len({t.user_attrs["worker"]["process"] for t in counted}) == 2, "one did nothing"
    assert len({tuple(t.params.values()) for t in counted}) == 12, "two tried the same"
    assert all("| 12 " not in out and "the best is trial" in out for out in outs)


def test_a_trial_elsewhere_is_taken_over_only_when_its_beat_stands_still(world, monkeypatch):
    """Two folders are two machines, which see nothing of each other but the store."""
    monkeypatch.setattr("experiments.sweep.claims.DEAD_SECONDS", 0.3)
    monkeypatch.setattr("experiments.sweep.claims.HEARTBEAT_SECONDS", 0.0)
    recipe = read_recipe(world / "small.yaml")
    storage = optuna.storages.RDBStorage(f"sqlite:///{world / 'shared.db'}")
    here, there = (
        Claims(
            optuna.create_study(storage=storage, study_name="s", load_if_exists=True),
            world / name,
            1,
            recipe.sampler_for,
        )
        for name in ("here", "there")
    )
    mine = there.next()
    for _ in range(6):
        mine.beat()
        for _ in range(2):  # the second sees a beat that stands still, but not for long
            assert here.next() is None
            time.sleep(0.05)
    time.sleep(0.3)
    taken = here.next()
    assert taken is not None and taken.trial.number == mine.trial.number == 0
    taken.beat()
    with pytest.raises(TrialLost, match="trial 0 was taken over"):
        mine.beat()


def test_a_trial_that_two_made_too_many_does_not_count(world):
    recipe = read_recipe(world / "small.yaml")
    study = optuna.create_study(storage=f"sqlite:///{world / 'shared.db'}")
    here, there = (Claims(study, world / name, 2, recipe.sampler_for) for name in ("here", "there"))
    first, second = here.next(), there.next()
    assert [first.trial.number, second.trial.number] == [0, 1]
    assert there._new() is None, "as if both had found room for one more"
    assert len(here.counted()) == 2 and here.next() is None


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


def test_an_objective_that_a_whole_run_never_logged_is_an_error(world, capsys):
    (world / "small.yaml").write_text(SWEEP.replace("val/loss", "eval/accuracy"))
    line = error_of(capsys)
    assert line == (
        "sweep.py: error: trial-0000 is finished and never logged the objective 'eval/accuracy': there is val/loss"
    )


def test_a_terminated_sweep_goes_on(world):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 3"))
    process = start(world, SECONDS="0.2")
    wait_for(lambda: len(rows_of(world, 0)) >= 2, process)
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):  # nothing of its session is left
        os.killpg(process.pid, 0)
    assert len(sweep.main(COMMAND).trials) == 3
    assert [s["from"] for s in starts(world) if s["trial"] == "trial-0000"][1] >= 2


def test_several_objectives(world, with_page):
    text = SWEEP.replace("{val/loss: minimize}", "{val/loss: minimize, step: maximize}")
    text = text.replace(
        "{class: MedianPruner, args: {n_startup_trials: 4, n_warmup_steps: 1}}", "{class: NopPruner}"
    )
    (world / "small.yaml").write_text(text.replace("trials: 12", "trials: 5"))
    study = sweep.main(COMMAND)
    assert [t.values[1] for t in study.trials] == [STEPS - 1.0] * 5
    assert best(study).values[0] == min(t.values[0] for t in study.trials)
    page = (world / "runs/sweeps/small/report.html").read_text()
    assert page.count("<svg") == 5 and "step (maximized)" in page  # two histories, two importances
