"""GenAI-Bench on the playground scores as the playground's own judge."""

from pathlib import Path

import numpy as np
import pytest

from evals.genai_bench.benchmark import GenAIBenchmark
from evals.playground.geneval import draw_and_judge, geneval_scores
from evals.ranks import ALONE
from evals.settings import GenAIBenchSettings
from tests.evals.painter import RECORD
from tests.evals.playground.oracle import Oracle

PLAYGROUND = {"prompts": "playground", "vlm": "playground"}


def test_the_playground_scores_as_its_direct_judge(tmp_path: Path) -> None:
    settings = GenAIBenchSettings(**PLAYGROUND, per_category=8, batch=100)
    for shift in (0, 7):  # drawings that are right, and those of other prompts
        judged = draw_and_judge(Oracle(0, shift), 8, 1)
        benchmark = GenAIBenchmark(settings, tmp_path / str(shift))
        benchmark.fill(Oracle(0, shift), RECORD, ALONE)
        report = benchmark.score(benchmark.load_scorer("cpu"))
        assert report["genai/overall"] == pytest.approx(np.mean([one.ok for one in judged]))
        assert report["genai/counting"] == pytest.approx(geneval_scores(judged)["geneval/counting"])
        assert (report["genai/overall"] == 1) == (shift == 0)
