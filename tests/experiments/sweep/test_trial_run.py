"""What a trial's values are, and when it is hopeless, from what its run logged."""

import optuna
import pytest

from experiments.sweep.trial_run import Judge, Metrics


class Over(optuna.pruners.BasePruner):
    """Finds a trial hopeless whose newest value is over 5."""

    def prune(self, study, trial):
        return trial.intermediate_values[trial.last_step] > 5


@pytest.fixture
def metrics(tmp_path):
    return Metrics(tmp_path)


def write(metrics: Metrics, *values: float) -> None:
    rows = [f"{10 * i + 9},0.5,\n{10 * i + 9},,{value}" for i, value in enumerate(values)]
    metrics.path.write_text("\n".join(["step,train/loss,val/loss", *rows, "99,0"]))  # the last row is torn


def judge(last: int | None, study: optuna.Study | None = None) -> Judge:
    study = study or optuna.create_study(pruner=Over())
    return Judge(study.ask(), "val/loss", last)


def test_values_are_read_as_they_come(metrics):
    assert metrics.of("val/loss") == [] and metrics.columns() == []
    write(metrics, 3.0)
    assert metrics.of("val/loss") == [(9, 3.0)] and metrics.columns() == ["train/loss", "val/loss"]
    write(metrics, 3.0, float("nan"), 1.0)
    assert [step for step, _ in metrics.of("val/loss")] == [9, 19, 29] and metrics.of("val/other") == []


def test_what_is_decided_does_not_depend_on_when_it_is_looked_at(metrics):
    slow, quick = judge(99), judge(99)
    found = []
    for i, values in enumerate(([1.0], [1.0, 9.0], [1.0, 9.0, 2.0], [1.0, 9.0, 2.0, 1.0])):
        write(metrics, *values)
        found.append(quick.hopeless(metrics) if not any(found) else True)
        assert found[-1] == (i >= 1)
    assert slow.hopeless(metrics), "it was hopeless at its second value, whatever came after"
    assert slow.trial.storage.get_trial(slow.trial._trial_id).intermediate_values == {9: 1.0, 19: 9.0}


def test_at_the_last_step_nothing_is_pruned(metrics):
    write(metrics, 1.0, 9.0)
    assert not judge(19).hopeless(metrics) and judge(20).hopeless(metrics) and judge(None).hopeless(metrics)


def test_what_was_reported_before_a_kill_is_judged_again(metrics):
    first = judge(99)
    first.trial.report(1.0, 9)
    first.trial.report(9.0, 19)
    write(metrics, 1.0, 9.0, 2.0)
    assert Judge(first.trial, "val/loss", 99).hopeless(metrics)
    later = Judge(first.trial, "val/loss", 19)
    assert not later.hopeless(metrics)
    assert later.trial.storage.get_trial(later.trial._trial_id).intermediate_values == {
        9: 1.0,
        19: 9.0,
        29: 2.0,
    }
