"""Scores during training are measured every n-th epoch and at the end, once a step, and logged."""

from pathlib import Path

import pytest
from lightning.pytorch import LightningModule

from callbacks.periodic_scores import PeriodicScores
from models.unified import Illume
from tests.callbacks.test_evaluation import Stage, fit
from training.metrics_file import read_rows


class Constant(PeriodicScores):
    """Always measures the same."""

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        return {"vqa/accuracy": 0.5}


@pytest.mark.parametrize(
    ("every", "at_end", "steps"), [(2, True, [3, 5]), (2, False, [3]), (0, True, [5]), (3, True, [5])]
)
def test_it_measures_every_n_epochs_and_once_at_the_end(
    tiny_illume: Illume, tmp_path: Path, every: int, at_end: bool, steps: list[int]
) -> None:
    trainer = fit(Stage(tiny_illume), tmp_path, Constant(every_n_epochs=every, at_end=at_end))
    rows = read_rows(tmp_path / "metrics.csv")[1]
    assert [int(row["step"]) for row in rows if row.get("vqa/accuracy")] == steps
    assert float(trainer.callback_metrics["vqa/accuracy"]) == 0.5


def test_a_resumed_run_does_not_measure_a_step_again(
    monkeypatch: pytest.MonkeyPatch, tiny_illume: Illume, tmp_path: Path
) -> None:
    before, after, module = Constant(), Constant(), Stage(tiny_illume)
    trainer = fit(module, tmp_path, before, epochs=1)
    monkeypatch.setattr(after, "scores", lambda _: pytest.fail("measured twice"))
    after.load_state_dict(before.state_dict())
    after.on_fit_end(trainer, module)


def test_a_negative_period_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_epochs is at least 0, not -1"):
        Constant(every_n_epochs=-1)
