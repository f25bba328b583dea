"""GenEval on its own prompts during training: the stage's model draws, a detector and CLIP score."""

from typing import Any

from lightning.pytorch import Trainer

from callbacks.drawing_benchmark import DrawingBenchmark
from callbacks.evaluation import Evaluation
from evals.geneval.benchmark import GenEvalBenchmark
from evals.settings import GenEvalSettings
from lightning_modules.stage_module import StageModule


class GenEval(DrawingBenchmark):
    """Logs `geneval/overall` and each task's share, by the names of a report.

    Drawings go to `geneval/step-*` of the run's folder, in the layout that the official scorer reads. A score of a few
    prompts varies much with the prompts: compare it with the same run's earlier ones.
    """

    def __init__(
        self,
        prompts: str,
        every_n_epochs: int = 1,
        at_end: bool = True,
        limit: int | None = 60,
        seeds: int = 1,
        **settings: Any,
    ) -> None:
        given = GenEvalSettings(prompts=prompts, limit=limit, seeds=seeds, **settings)
        super().__init__(GenEvalBenchmark, given, every_n_epochs, at_end)

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses another callback that logs the same names."""
        if any(isinstance(other, Evaluation) for other in trainer.callbacks):
            raise ValueError(
                "callbacks.evaluation.Evaluation logs geneval/overall of the playground: leave out one of the two"
            )
        super().on_fit_start(trainer, pl_module)
