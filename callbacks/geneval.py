"""GenEval on its own prompts while training: the stage's model draws, a detector and CLIP judge (docs/geneval.md)."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.evaluation import Evaluation
from callbacks.periodic_scores import PeriodicScores
from callbacks.stage_model import evaluated
from evals.geneval_benchmark import command
from evals.geneval_benchmark.suite import Scorer, check_colours, draw, score
from evals.ranks import Ranks
from evals.suite import measures_of


class GenEval(PeriodicScores):
    """Logs `geneval/overall` and each task's share, by the names of a report.

    Drawings go to `geneval/step-*` of the run's folder, in the layout that the official scorer reads. All processes share
    the drawing, and the first scores. A few prompts move much from prompt to prompt: hold a score against the same run's
    earlier ones.

    Args:
        prompts: GenEval's evaluation_metadata.jsonl; or the word playground.
        detector: folder or hub name; or the word playground.
        clip: of colours, folder or hub name.
        limit: at most so many prompts, the first of each task in turn.
        samples: images of each.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        seed: of drawings, the same ones each time.
        cfg: guidance of the drawings.
        temperature: of the drawings.
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
        cfg: float = 1.25,
        temperature: float = 0.6,
        batch: int = 16,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        if min(samples, batch, limit or 1) < 1:
            raise ValueError("GenEval: limit, samples and batch are at least 1")
        unset = dict.fromkeys(("model", "cfg", "temperature", "batch", "per_category", *command.THRESHOLDS))
        where = {"images": Path("geneval"), "device": "cpu", "seed": seed}
        self.options = Namespace(**unset, **where, prompts=prompts, detector=detector, clip=clip, limit=limit)
        command.check(self.options)
        self.prompts = command.prompts_of(self.options)
        self.record = {"seed": seed, "samples": samples, "cfg": cfg, "temperature": temperature}
        self.batch = batch
        self.scorer: Scorer | None = None  # of the first process, from the start of training

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Loads who scores, before anything is trained."""
        if any(isinstance(other, Evaluation) for other in trainer.callbacks):
            raise ValueError(
                "callbacks.evaluation.Evaluation logs geneval/overall of the playground: leave out one of the two"
            )
        if trainer.is_global_zero:
            self.options.device = str(pl_module.device)
            self.scorer = command.scorer_of(self.options, self.prompts)
            check_colours(self.prompts, self.scorer)

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The shares of images that are right; none for a stage whose model cannot draw."""
        trainer = pl_module.trainer
        folder = Path(trainer.default_root_dir) / "geneval" / f"step-{trainer.global_step:07d}"
        ranks = Ranks(trainer.global_rank, trainer.world_size)
        with evaluated(pl_module) as model:
            if "geneval" not in measures_of(model):
                return {}
            torch.manual_seed(self.record["seed"])
            draw(
                model, folder, self.prompts, {**self.record, "prompts": len(self.prompts)}, self.batch, ranks
            )
        found = (
            {}
            if self.scorer is None
            else _shares(score(folder, self.prompts, self.record["samples"], self.scorer))
        )
        return trainer.strategy.broadcast(found)


def _shares(report: dict[str, Any]) -> dict[str, float]:
    """What a curve is drawn of: of a report's measures those that are no bound of another."""
    shares = {name: value for name, value in report.items() if name.startswith("geneval/")}
    return {name: value for name, value in shares.items() if not name.endswith(("/low", "/high"))}
