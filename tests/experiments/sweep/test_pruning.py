"""What a trial's values are, and when it is should_stop, from what its run logged."""

import optuna
import pytest

from experiments.sweep.pruning import Metrics, Pruning


class Over(optuna.pruners.BasePruner):
    """Finds a trial should_stop whose newest value is over 5."""

    def prune(self, study, trial):
        return trial.intermediate_values[trial.last_step] > 5


@pytest.fixture
def metrics(tmp_path):
    return Metrics(tmp_path)


def write(metrics: Metrics, *values: float) -> None:
    rows = [f"{10 * i + 9},0.5,\n{10 * i + 9},,{value}" for i, value in enumerate(values)]
    metrics.path.write_text("\n".join(["step,train/loss,val/loss", *rows, "99,0"]))  # the last row is torn


def pruning_of(last: int | None, study: optuna.Study | None = None) -> Pruning:
    study = study or optuna.create_study(pruner=Over())
    return Pruning(study.ask(), "val/loss", last)


def test_values_are_read_as_they_come(metrics):
    assert metrics.of("val/loss") == [] and metrics.columns() == []
    write(metrics, 3.0)
    assert metrics.of("val/loss") == [(9, 3.0)] and metrics.columns() == ["train/loss", "val/loss"]
    write(metrics, 3.0, float("nan"), 1.0)
    assert [step for step, _ in metrics.of("val/loss")] == [9, 19, 29] and metrics.of("val/other") == []


def test_what_is_decided_does_not_depend_on_when_it_is_looked_at(metrics):
    slow, quick = pruning_of(99), pruning_of(99)
    found = []
    for i, values in enumerate(([1.0], [1.0, 9.0], [1.0, 9.0, 2.0], [1.0, 9.0, 2.0, 1.0])):
        write(metrics, *values)
        found.append(quick.should_stop(metrics) if not any(found) else True)
        assert found[-1] == (i >= 1)
    assert slow.should_stop(metrics), "it was should_stop at its second value, whatever came after"
    assert slow.trial.storage.get_trial(slow.trial._trial_id).intermediate_values == {9: 1.0, 19: 9.0}


def test_at_the_last_step_nothing_is_pruned(metrics):
    write(metrics, 1.0, 9.0)
    assert (
        not pruning_of(19).should_stop(metrics)
        and pruning_of(20).should_stop(metrics)
        and pruning_of(None).should_stop(metrics)
    )


def test_what_was_reported_before_a_kill_is_judged_again(metrics):
    first = pruning_of(99)
    first.trial.report(1.0, 9)
    first.trial.report(9.0, 19)
    write(metrics, 1.0, 9.0, 2.0)
    assert Pruning(first.trial, "val/loss", 99).should_stop(metrics)
    later = Pruning(first.trial, "val/loss", 19)
    assert not later.should_stop(metrics)
    assert later.trial.storage.get_trial(later.trial._trial_id).intermediate_values == {
        9: 1.0,
        19: 9.0,
        29: 2.0,
    }
