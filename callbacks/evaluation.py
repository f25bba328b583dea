"""The playground suite while training: what the model of this stage can do already, measured and logged."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from callbacks.periodic_scores import PeriodicScores
from common.checks import check_choice
from evals.fidelity.inception import check_weights, torch_fidelity
from evals.playground.suite import NEEDS, check_size, playground_suite
from models.component_config import check_keys
from models.generation import overrides
from models.sampling_options import NAMES
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import note_sampling, require_components, sampling_of

TOOK = (*NAMES, *(f"edit_{name}" for name in NAMES))  # how the suite says that it drew
ABOUT = ("seed", "samples", "seconds", *TOOK)  # what the suite tells that is no measure


class Evaluation(PeriodicScores):
    """Logs every score of the suite that the stage's model has the parts for, by its name in a report.

    Args:
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        per_category: GenEval prompts a category.
        seeds: drawings a prompt.
        samples: scenes rebuilt; questions and edits are 4/3 and 1/3 as many.
        seed: of scenes, prompts and samples, the same ones each time.
        inception: file of Inception weights; with it FID is measured as well.
        measures: of codebook, reconstruction, vqa, geneval and editing those to take; None: all that a stage of this
            kind can be measured by, and a component that is missing is refused.
        cfg: guidance of drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of drawings.
        top_k: of drawings: only so many of the likeliest codes.
        top_p: of drawings: only the likeliest codes that reach this share.
        edit_sampling: the same four of edits.

    Raises:
        FileNotFoundError, ValueError: that file is not there, or holds something else.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        at_end: bool = True,
        per_category: int = 8,
        seeds: int = 1,
        samples: int = 72,
        seed: int = 0,
        inception: str | None = None,
        measures: list[str] | None = None,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        edit_sampling: dict[str, int | float] | None = None,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        if min(per_category, seeds, samples) < 1:
            raise ValueError("Evaluation: per_category, seeds and samples are at least 1")
        self.inception = None if inception is None else Path(inception)
        if self.inception is not None:
            torch_fidelity()
            check_weights(self.inception)
        self.measures = (
            None if measures is None else [check_choice(m, NEEDS, "Evaluation: measure") for m in measures]
        )
        self.given = overrides("Evaluation", cfg=cfg, temperature=temperature, top_k=top_k, top_p=top_p)
        check_keys(edit_sampling or {}, NAMES, "Evaluation: edit_sampling")
        self.edit_given = overrides("Evaluation: edit_sampling", **(edit_sampling or {}))
        self.sizes = {"seed": seed, "per_category": per_category, "seeds": seeds, "samples": samples}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a stage whose model lacks what the measures take, before anything is spent."""
        wanted = self._wanted(pl_module.model)
        components = dict.fromkeys(part for name in wanted for part in NEEDS[name])
        model = require_components(pl_module, "Evaluation", tuple(components))
        check_size(model)
        self._sampling(model)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for task, sampling in self._sampling(pl_module.model).items():
            note_sampling(trainer, f"Evaluation {task}", sampling)

    def _wanted(self, model: Illume) -> list[str]:
        if self.measures is not None:
            return self.measures
        return list(NEEDS) if model.language is not None else ["codebook", "reconstruction"]

    def _sampling(self, model: Illume) -> dict[str, dict[str, Any]]:
        """How it draws, by task."""
        wanted = self._wanted(model)
        tasks = {"geneval": ("draw", self.given), "editing": ("edit", self.edit_given)}
        return {
            task: sampling_of(model, task, given, "Evaluation")
            for measure, (task, given) in tasks.items()
            if measure in wanted
        }

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The suite's scores."""
        with eval_mode(pl_module) as model:
            scores = playground_suite(
                model,
                **self.sizes,
                inception=self.inception,
                measures=self._wanted(model),
                edit_sampling=self.edit_given,
                **self.given,
            )
        return {name: float(value) for name, value in scores.items() if name not in ABOUT}
