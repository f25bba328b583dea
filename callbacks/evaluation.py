"""The playground suite during training: scores of the stage's model, measured and logged."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer

from callbacks.periodic_scores import PeriodicScores
from common.checks import check_choice
from evals.fidelity.inception import check_weights, torch_fidelity
from evals.playground.suite import NEEDS, check_size, playground_suite
from evals.settings import PlaygroundSettings
from lightning_modules.stage_module import StageModule
from models.sampling_options import NAMES
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import record_sampling, require_components, resolve_sampling

# What a report of the suite holds beside measures.
METADATA = ("seed", "samples", "seconds", *NAMES, *(f"edit_{name}" for name in NAMES))


class Evaluation(PeriodicScores):
    """Logs every score of the suite that the stage's model has the components for, by its name in a report.

    Args:
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        measures: of codebook, reconstruction, vqa, geneval and editing those to take; None: all that a stage of this
            kind can be measured by, and a component that is missing is refused.
        per_category: GenEval prompts of each category.
        seeds: drawings of each prompt.
        samples: scenes reconstructed; questions and edits are 4/3 and 1/3 as many.
        settings: others of the suite, as in `PlaygroundSettings`.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        at_end: bool = True,
        measures: list[str] | None = None,
        per_category: int = 8,
        seeds: int = 1,
        samples: int = 72,
        **settings: Any,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        self.settings = PlaygroundSettings(
            per_category=per_category, seeds=seeds, samples=samples, **settings
        )
        if self.settings.inception is not None:
            torch_fidelity()
            check_weights(self.settings.inception)
        self.measures = measures and [check_choice(m, NEEDS, "Evaluation: measure") for m in measures]

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses a stage whose model lacks what the measures take, before anything is spent."""
        components = dict.fromkeys(
            name for measure in self._measures(pl_module.model) for name in NEEDS[measure]
        )
        model = require_components(pl_module, "Evaluation", tuple(components))
        check_size(model)
        self._sampling(model)

    def on_train_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        for task, sampling in self._sampling(pl_module.model).items():
            record_sampling(trainer, f"Evaluation {task}", sampling)

    def _measures(self, model: Illume) -> Sequence[str]:
        return self.measures or (
            list(NEEDS) if model.language is not None else ["codebook", "reconstruction"]
        )

    def _sampling(self, model: Illume) -> dict[str, dict[str, Any]]:
        """How the measures sample images, by measure."""
        tasks = {
            "geneval": ("draw", self.settings.sampling),
            "editing": ("edit", self.settings.edit_sampling),
        }
        measures = self._measures(model)
        return {
            measure: resolve_sampling(model, task, given, "Evaluation")
            for measure, (task, given) in tasks.items()
            if measure in measures
        }

    def scores(self, pl_module: StageModule) -> dict[str, float]:
        """The suite's scores."""
        with eval_mode(pl_module) as model:
            scores = playground_suite(model, self.settings, measures=self._measures(model))
        return {name: float(value) for name, value in scores.items() if name not in METADATA}
