"""GenEval on its own prompts while training: the stage's model draws, a detector and CLIP judge (docs/use/geneval.md)."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from callbacks.drawing_benchmark import DrawingBenchmark
from callbacks.evaluation import Evaluation
from evals.geneval import command
from evals.geneval.suite import Scorer, check_colours, draw, score
from evals.ranks import Ranks
from models.unified import Illume


class GenEval(DrawingBenchmark):
    """Logs `geneval/overall` and each task's share, by the names of a report.

    Drawings go to `geneval/step-*` of the run's folder, in the layout that the official scorer reads. A few prompts move
    much from prompt to prompt: hold a score against the same run's earlier ones.

    Args:
        prompts: GenEval's evaluation_metadata.jsonl; or the word playground.
        detector: folder or hub name; or the word playground.
        clip: of colours, folder or hub name.
        limit: at most so many prompts, the first of each task in turn.
        samples: images of each.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        seed: of drawings, the same ones each time.
        cfg: guidance of the drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of the drawings.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
        batch: images at once.

    Raises:
        FileNotFoundError, ValueError: prompts or networks are not there, or do not fit each other.
    """

    def __init__(
        self,
        prompts: str,
        detector: str,
        clip: str | None = None,
        limit: int | None = 60,
        samples: int = 1,
        every_n_epochs: int = 1,
        at_end: bool = True,
        seed: int = 0,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        batch: int = 16,
    ) -> None:
        when = {"every_n_epochs": every_n_epochs, "at_end": at_end}
        sampling = {"cfg": cfg, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        super().__init__("geneval", "geneval", seed=seed, batch=batch, limit=limit, **when, **sampling)
        if samples < 1:
            raise ValueError("GenEval: samples is at least 1")
        unset = dict.fromkeys(("model", "batch", "per_category", *command.THRESHOLDS))
        where = {"images": self.folder, "device": "cpu", "seed": seed}
        self.options = Namespace(**unset, **where, prompts=prompts, detector=detector, clip=clip, limit=limit)
        command.check(self.options)
        self.prompts = command.prompts_of(self.options)
        self.samples = samples
        self.scorer: Scorer | None = None  # of the first process, from the start of training

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses another callback that logs the same names."""
        if any(isinstance(other, Evaluation) for other in trainer.callbacks):
            raise ValueError(
                "callbacks.evaluation.Evaluation logs geneval/overall of the playground: leave out one of the two"
            )
        super().on_fit_start(trainer, pl_module)

    def load_scorer(self, device: str) -> None:
        self.options.device = device
        self.scorer = command.scorer_of(self.options, self.prompts)
        check_colours(self.prompts, self.scorer)

    def draw(self, model: Illume, folder: Path, ranks: Ranks) -> None:
        about = {"seed": self.seed, "samples": self.samples, "prompts": len(self.prompts)}
        draw(model, folder, self.prompts, about | self.sampling(model), self.batch, ranks)

    def report(self, folder: Path) -> dict[str, Any]:
        assert self.scorer is not None  # `load_scorer` has been asked
        return score(folder, self.prompts, self.samples, self.scorer)
