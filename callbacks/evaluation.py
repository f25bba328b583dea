"""The playground suite while training: what the model of this stage can do already, measured and logged."""

from pathlib import Path

from lightning.pytorch import LightningModule

from callbacks.periodic_scores import PeriodicScores
from callbacks.stage_model import evaluated
from evals.fidelity.inception import check_weights, torch_fidelity
from evals.suite import measures_of, playground_suite

ABOUT = ("seed", "samples", "seconds")  # what the suite tells that is no measure


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
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        if min(per_category, seeds, samples) < 1:
            raise ValueError("Evaluation: per_category, seeds and samples are at least 1")
        self.inception = None if inception is None else Path(inception)
        if self.inception is not None:
            torch_fidelity()
            check_weights(self.inception)
        self.sizes = {"seed": seed, "per_category": per_category, "seeds": seeds, "samples": samples}

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The suite's scores; none for a stage whose model can neither decode nor see."""
        with evaluated(pl_module) as model:
            scores = (
                playground_suite(model, **self.sizes, inception=self.inception) if measures_of(model) else {}
            )
        return {name: float(value) for name, value in scores.items() if name not in ABOUT}
