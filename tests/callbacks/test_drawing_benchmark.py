"""What the callbacks that draw for a benchmark share; two processes: test_geneval.py."""

from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks.drawing_benchmark import DrawingBenchmark
from evals.benchmark import Benchmark
from evals.ranks import Ranks
from evals.settings import DrawingSettings
from models.unified import Illume
from tests.callbacks.test_evaluation import Decoding, Stage, fit

CALLS: list[str] = []


class DiceBenchmark(Benchmark):
    """Throws dice at every turn, and reports what it threw for a drawing."""

    name = "dice"

    def _read(self) -> None:
        self.requests = self.wanted = self._make_requests([("0.png", "a")])
        self.identity = {}

    def load_scorer(self, device: str) -> str:
        CALLS.append(f"load {device} {torch.rand(1).shape[0]}")
        return "scorer"

    def fill(self, model: Illume, record: dict[str, Any], ranks: Ranks) -> int:
        assert not model.language.training and ranks == Ranks() and record["seed"] == 5
        self.thrown = float(torch.rand(1))
        CALLS.append(self.images.name)
        return 1

    def score(self, scorer: str) -> dict[str, Any]:
        assert scorer == "scorer"
        torch.rand(1)
        bounds = {"dice/one/low": 0.0, "dice/one/high": 1.0, "dice/one/samples": 3}
        return {"dice/one": self.thrown, **bounds, "samples": 3, "results": "scores.jsonl", "protocol": "a/b"}


class Dice(DrawingBenchmark):
    def __init__(self) -> None:
        CALLS.clear()
        super().__init__(DiceBenchmark, DrawingSettings(seed=5, batch=1))


def test_it_logs_the_measures_and_leaves_training_as_it_was(tiny_illume: Illume, tmp_path: Path) -> None:
    plain, watched, dice = Stage(tiny_illume), Stage(tiny_illume), Dice()
    fit(plain, tmp_path / "a", epochs=2)
    trainer = fit(watched, tmp_path / "b", dice, epochs=2)
    assert len(plain.noise) == 4 and plain.noise == watched.noise
    assert CALLS == ["load cpu 1", "step-0000002", "step-0000004"]
    found = {name: float(value) for name, value in trainer.callback_metrics.items() if "dice" in name}
    torch.manual_seed(5)
    assert found == {"dice/one": pytest.approx(float(torch.rand(1)))}


def test_a_stage_without_the_components_is_refused_before_a_scorer_is_loaded(
    tiny_illume: Illume, tmp_path: Path
) -> None:
    dice = Dice()
    with pytest.raises(ValueError, match="Dice cannot work on this stage, whose model has no language"):
        fit(Decoding(tiny_illume), tmp_path, dice, epochs=1)
    assert CALLS == [] and dice.last_step == -1
