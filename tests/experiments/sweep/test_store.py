"""A store that is another sweep's, locked, away or no store is one line."""

import sqlite3

import pytest

import sweep
from experiments.sweep import store
from experiments.sweep.pruning import Pruning
from tests.experiments.sweep.world import SETTINGS, SWEEP, error_of, starts

COMMAND = ["--config", "small.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("low: 1.0e-4", "low: 1.0e-3", "space.model.lr (float 0.0001 to 1 log -> float 0.001 to 1 log)"),
        ("model.lr:", "trainer.max_steps:", "space.model.lr (float 0.0001 to 1 log -> unset)"),
        ("minimize", "maximize", "objective.val/loss (minimize -> maximize)"),
        ("trials: 2", "trials: 2\nfixed: {seed_everything: 1}", "fixed.seed_everything (unset -> 1)"),
    ],
)
def test_two_sweeps_of_one_name_are_told_apart(world, capsys, old, new, line):
    small = SWEEP.replace("trials: 12", "trials: 2")
    (world / "small.yaml").write_text(small)
    sweep.main(COMMAND)
    assert old in small
    (world / "small.yaml").write_text(small.replace(old, new))
    found = error_of(capsys)
    assert (
        "the sweep 'small' in sqlite:///" in found
        and line in found
        and "give this one a name: of its own" in found
    )
    assert len(starts(world)) == 2
    (world / "small.yaml").write_text(small.replace(old, new) + "name: other\n")
    if "max_steps" not in new:
        assert len(sweep.main(COMMAND).trials) == 2 and len(starts(world, "other")) == 2


def test_a_sweep_whose_base_has_changed_is_told(world, capsys, monkeypatch):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    sweep.main(COMMAND)
    other = {**SETTINGS, "seed_everything": 7}
    monkeypatch.setattr("experiments.sweep.dry_run.dry_run", lambda recipe, folder, report: other)
    assert "was begun with other settings: seed_everything (0 -> 7)" in error_of(capsys)


def test_more_trials_may_be_asked_for(world):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    sweep.main(COMMAND)
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 3"))
    assert len(sweep.main(COMMAND).trials) == 3 and len(starts(world)) == 3


def test_a_locked_store_is_told(world, capsys, monkeypatch):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    sweep.main(COMMAND)
    monkeypatch.setattr(store, "LOCK_WAIT", 0.1)
    held = sqlite3.connect(world / "runs/sweeps/small/study.db")
    held.execute("BEGIN EXCLUSIVE")
    line = error_of(capsys)
    assert line.startswith("sweep.py: error: the store sqlite:///") and "is locked by another process" in line
    held.close()
    sweep.main(COMMAND)


def test_a_store_that_is_locked_for_a_while_ends_no_training(world, capsys, monkeypatch):
    monkeypatch.setattr(store, "LOCK_WAIT", 0.05)
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    held, should_stop = [], Pruning.should_stop

    def locked(self, metrics):
        seen = len(metrics.of("val/loss"))
        if 2 <= seen < 6 and not held:
            held.append(sqlite3.connect(world / "runs/sweeps/small/study.db"))
            held[0].execute("BEGIN EXCLUSIVE")
        if seen >= 6 and held:
            held[0].close()
        return should_stop(self, metrics)

    monkeypatch.setattr(Pruning, "should_stop", locked)
    monkeypatch.setenv("SECONDS", "0.1")
    study = sweep.main(COMMAND)
    assert held and study.trials[0].state.name == "COMPLETE" and len(starts(world)) == 1
    assert "is locked by another process" in capsys.readouterr().err
    assert len(study.trials[0].intermediate_values) == 8


@pytest.mark.parametrize(
    ("storage", "line"),
    [
        ("sqlite:///gone/study.db", "cannot be opened: its folder must be there, and be writable"),
        ("sqlite:///stage.yaml", "is no SQLite database"),
        ("gone/journal.log", "the store gone/journal.log cannot be opened: there is no folder"),
        ("stage.yaml", "the store stage.yaml is no journal of Optuna's, or is damaged"),
        ("runs", "the store runs cannot be opened: Is a directory"),
        ("cobol://host/x", "cannot be reached: Can't load plugin"),
        ("postgresql://me:secret@127.0.0.1:1/x", "the store postgresql://me:***@127.0.0.1:1/x "),
    ],
)
def test_a_store_that_cannot_be_had_is_one_line(world, capsys, storage, line):
    (world / "runs").mkdir()
    found = error_of(capsys, "--storage", storage)
    assert found.startswith("sweep.py: error: the store ") and line in found and "secret" not in found
    assert not starts(world)


def test_a_folder_with_the_runs_of_another_store_is_left_alone(world, capsys):
    """Else a new trial 0 would be given what the old one logged."""
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    sweep.main(COMMAND)
    line = error_of(capsys, "--storage", "journal.log")
    assert "runs/sweeps/small holds the runs of a sweep in another store than journal.log" in line
    assert len(starts(world)) == 1


def test_a_journal_that_was_torn_is_told(world, capsys):
    (world / "small.yaml").write_text(SWEEP.replace("trials: 12", "trials: 1"))
    sweep.main([*COMMAND, "--storage", "journal.log"])
    whole = (world / "journal.log").read_text().splitlines(keepends=True)
    (world / "journal.log").write_text("".join([*whole[:3], whole[3][:9], *whole[4:]]))
    assert "is no journal of Optuna's, or is damaged" in error_of(capsys, "--storage", "journal.log")
