"""GenAI-Bench during training: the stage's model draws, a VLM scores how well each image shows its prompt."""

from typing import Any

from callbacks.drawing_benchmark import DrawingBenchmark
from evals.genai_bench.benchmark import GenAIBenchmark
from evals.settings import GenAIBenchSettings


class GenAIBench(DrawingBenchmark):
    """Logs `genai/overall`, `genai/basic`, `genai/advanced` and the mean VQAScore of each skill.

    Drawings go to `genai_bench/step-*` of the run's folder, in the layout that the authors' scorer reads. The VLM stays
    on the first process's device during training: give one that fits, and compare its scores with its own.
    """

    def __init__(
        self, every_n_epochs: int = 1, at_end: bool = True, limit: int | None = 60, **settings: Any
    ) -> None:
        given = GenAIBenchSettings(limit=limit, **settings)
        super().__init__(GenAIBenchmark, given, every_n_epochs, at_end)
