"""A sweep finishes, prunes, is killed and goes on, and is shared by several processes."""

import os
import signal
from pathlib import Path

import optuna
import pytest
import yaml

import sweep
from experiments.sweep.recipe import read_recipe
from experiments.sweep.result import best, table
from tests.experiments.sweep.world import (
    COMMAND,
    STEPS,
    SWEEP,
    outcomes,
    start,
    starts,
    study_of,
    wait_for,
    with_page,
    world,
)
from training.metrics_file import read_rows

__all__ = ["with_page", "world"]


def rows_of(folder: Path, number: int) -> list[dict]:
    return read_rows(folder / f"runs/sweeps/small/trial-{number:04d}/metrics.csv")[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[tuple]:
    """What becomes of the trials of a sweep that nothing cuts off; made by the first test that asks."""
    return []


def test_twelve_trials_with_pruning_and_their_results(world, request, capsys, whole):
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
    assert table(study, read_recipe(world / "small.yaml")).count("\n") == 14

    before = outcomes(study)
    request.getfixturevalue("with_page")
    assert outcomes(sweep.main(COMMAND)) == before and len(starts(world)) == 12, "nothing is done twice"
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 4 and "http" not in page.replace("http-equiv", "")
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


def test_several_objectives(world, request):
    text = SWEEP.replace("{val/loss: minimize}", "{val/loss: minimize, step: maximize}")
    text = text.replace(
        "{class: MedianPruner, args: {n_startup_trials: 4, n_warmup_steps: 1}}", "{class: NopPruner}"
    )
    (world / "small.yaml").write_text(text.replace("trials: 12", "trials: 5"))
    study = sweep.main(COMMAND)
    assert [t.values[1] for t in study.trials] == [STEPS - 1.0] * 5
    assert best(study).values[0] == min(t.values[0] for t in study.trials)
    request.getfixturevalue("with_page")
    sweep.main(COMMAND)
    page = (world / "runs/sweeps/small/report.html").read_text()
    assert page.count("<svg") == 5 and "step (maximized)" in page  # two histories, two importances
