"""Benchmarks of drawing while training: the stage's model makes images for one, and who scores it judges them."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from callbacks.periodic_scores import PeriodicScores
from evals.playground.suite import NEEDS
from evals.ranks import Ranks
from models.generation import overrides
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import note_sampling, require_components, sampling_of

NO_CURVE = ("/low", "/high", "/samples")  # bounds of a measure, and what it was measured on


class DrawingBenchmark(PeriodicScores):
    """Logs what a benchmark finds in images of the stage's model, by the names of a report.

    They go to `FOLDER/step-*` of the run's folder, in the layout of the command, which can score them again. All
    processes share the drawing, and the first scores: it alone loads who does, before anything is trained.

    Args:
        folder: of the images, in the run's.
        measure: of `evals.playground.suite`, whose parts a model must have to make them.
        seed: of the images, the same ones each time.
        batch: images at once.
        limit: at most so much of what is asked for; None: all.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        sampling: cfg, temperature, top_k and top_p, where they are not the model's own; None is not given.
    """

    def __init__(
        self,
        folder: str,
        measure: str,
        *,
        seed: int,
        batch: int,
        limit: int | None,
        every_n_epochs: int,
        at_end: bool,
        **sampling: Any,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        if batch < 1 or (limit is not None and limit < 1):
            raise ValueError(f"{type(self).__name__}: limit and batch are at least 1")
        self.folder, self.measure, self.seed, self.batch = Path(folder), measure, seed, batch
        self.given = overrides(type(self).__name__, **sampling)

    @abstractmethod
    def load_scorer(self, device: str) -> None:
        """Loads who scores, and checks it against what is asked; only the first process does."""

    @abstractmethod
    def draw(self, model: Illume, folder: Path, ranks: Ranks) -> None:
        """Makes this process's share of what is missing in a folder; returns once all of it is there."""

    @abstractmethod
    def report(self, folder: Path) -> dict[str, Any]:
        """What the command would report of a folder's images; only the first process asks."""

    def sampling(self, model: Illume) -> dict[str, Any]:
        """cfg, temperature, top_k and top_p of its images."""
        task = "edit" if self.measure == "editing" else "draw"
        return sampling_of(model, task, self.given, type(self).__name__)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a stage whose model cannot make the images, before anything is spent."""
        self.sampling(require_components(pl_module, type(self).__name__, NEEDS[self.measure]))
        if trainer.is_global_zero:
            with isolate_rng():  # a network may draw its weights before it loads them
                self.load_scorer(str(pl_module.device))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        note_sampling(trainer, f"{type(self).__name__} {self.folder}", self.sampling(pl_module.model))

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The report's measures."""
        trainer = pl_module.trainer
        folder = Path(trainer.default_root_dir) / self.folder / f"step-{trainer.global_step:07d}"
        with eval_mode(pl_module) as model:
            require_components(pl_module, type(self).__name__, NEEDS[self.measure])
            torch.manual_seed(self.seed)
            self.draw(model, folder, Ranks(trainer.global_rank, trainer.world_size))
        found: dict[str, float] = {}
        if trainer.is_global_zero:
            with isolate_rng():
                found = curves(self.report(folder))
        return trainer.strategy.broadcast(found)


def curves(report: dict[str, Any]) -> dict[str, float]:
    """What a curve is drawn of: of a report's measures those that are neither a bound nor a count of another."""
    measures = {name: value for name, value in report.items() if "/" in name}
    return {name: float(value) for name, value in measures.items() if not name.endswith(NO_CURVE)}
