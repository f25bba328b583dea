"""Several processes share the drawing of a benchmark: no image is drawn twice or left out, the folder is the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evals.benchmark import Benchmark
from evals.fidelity.benchmark import MjhqBenchmark
from evals.geneval.benchmark import GenEvalBenchmark
from evals.ranks import ALONE
from evals.settings import FidelitySettings, GenEvalSettings
from tests.evals.fidelity.small_network import write_mjhq
from tests.evals.painter import RECORD, Painter
from tests.evals.torchrun import contents, in_processes


@pytest.fixture(params=["geneval", "mjhq"])
def benchmark_at(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], Benchmark]:
    """A benchmark of 18 images in a folder: GenEval's prompts, or MJHQ-30K's."""
    if request.param == "geneval":
        names = {"prompts": "playground", "detector": "playground"}
        settings = GenEvalSettings(**names, per_category=1, seeds=3, seed=2, batch=2)
        return lambda folder: GenEvalBenchmark(settings, folder)
    real = write_mjhq(tmp_path / "real", ("art", "food", "logo"), 6)
    return lambda folder: MjhqBenchmark(FidelitySettings(real=real, seed=2, batch=2), folder)


def test_two_processes_draw_what_one_does(benchmark_at: Callable[[Path], Benchmark], tmp_path: Path) -> None:
    alone = Painter()
    benchmark_at(tmp_path / "alone").fill(alone, RECORD, ALONE)
    assert len(alone.seeds) == len(set(alone.seeds)) == 18
    (tmp_path / "notes").mkdir()
    shared = benchmark_at(tmp_path / "shared")
    first, second = in_processes(
        2, lambda painter, ranks: shared.fill(painter, RECORD, ranks), tmp_path / "notes"
    )
    assert sorted(first + second) == sorted(alone.seeds) and len(first) == len(second) == 9
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    cut, painter = benchmark_at(tmp_path / "cut"), Painter(7)  # one process is killed, two go on
    with pytest.raises(KeyboardInterrupt):
        cut.fill(painter, RECORD, ALONE)
    rest = in_processes(2, lambda painter, ranks: cut.fill(painter, RECORD, ranks), tmp_path / "notes")
    assert sorted(painter.seeds + sum(rest, [])) == sorted(alone.seeds)
    assert contents(tmp_path / "cut") == contents(tmp_path / "alone")
