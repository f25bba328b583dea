"""Benchmarks of drawing during training: the stage's model draws the images of one, and its scorer scores them."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from callbacks.periodic_scores import PeriodicScores
from evals.benchmark import Benchmark
from evals.ranks import Ranks
from evals.settings import DrawingSettings
from lightning_modules.stage_module import StageModule
from models.generation import SamplingConfig
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import record_sampling, require_components, resolve_sampling

NO_CURVE = ("/low", "/high", "/samples")  # bounds of a measure, and what it was measured on


class DrawingBenchmark(PeriodicScores):
    """Logs a benchmark's scores of images that the stage's model draws, by their names in a report.

    The images go to `NAME/step-*` of the run's folder, in the layout of the command, which can score them again. All
    processes share the drawing, and the first scores: it alone loads the scorer, before anything is trained.

    Args:
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to score when training ends, if the last epoch did not.
    """

    def __init__(
        self,
        benchmark: type[Benchmark],
        settings: DrawingSettings,
        every_n_epochs: int = 1,
        at_end: bool = True,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        self.kind, self.settings = benchmark, settings
        self.benchmark = benchmark(settings, Path(benchmark.name))
        self.scorer: Any = None  # of the first process, from the start of training

    def sampling(self, model: Illume) -> dict[str, Any]:
        """cfg, temperature, top_k and top_p of its images."""
        return resolve_sampling(model, self.kind.task, self.settings.sampling, type(self).__name__)

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses a stage whose model cannot draw the images, before anything is spent."""
        self.sampling(require_components(pl_module, type(self).__name__, self.kind.components))
        if trainer.is_global_zero:
            with isolate_rng():  # a network may draw its weights before it loads them
                self.scorer = self.benchmark.load_scorer(str(pl_module.device))

    def on_train_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        record_sampling(trainer, f"{type(self).__name__} {self.kind.name}", self.sampling(pl_module.model))

    def scores(self, pl_module: StageModule) -> dict[str, float]:
        """The report's measures."""
        trainer = pl_module.trainer
        folder = Path(trainer.default_root_dir) / self.kind.name / f"step-{trainer.global_step:07d}"
        benchmark = self.kind(self.settings, folder)  # a turn of several starts from a result in it
        with eval_mode(pl_module) as model:
            require_components(pl_module, type(self).__name__, self.kind.components)
            torch.manual_seed(self.settings.seed)
            record = benchmark.record(SamplingConfig(**self.sampling(model)))
            benchmark.folder(record).check()
            benchmark.fill(model, record, Ranks(trainer.global_rank, trainer.world_size))
        found: dict[str, float] = {}
        if trainer.is_global_zero:
            with isolate_rng():
                found = curves(benchmark.score(self.scorer))
        return trainer.strategy.broadcast(found)


def curves(report: dict[str, Any]) -> dict[str, float]:
    """The measures of a report that have a curve: those that are neither a bound nor a count of another."""
    measures = {name: value for name, value in report.items() if "/" in name}
    return {name: float(value) for name, value in measures.items() if not name.endswith(NO_CURVE)}
