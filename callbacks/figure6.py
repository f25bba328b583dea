"""Figure 6 during training: each branch of a comparison is scored by its drawings, and at the end curves are drawn."""

from pathlib import Path

from lightning.pytorch import Trainer

from callbacks.periodic_scores import PeriodicScores
from common.files import write_text
from evals.playground.figure6 import branch_scores, draw_figure
from evals.playground.suite import NEEDS
from lightning_modules.comparison import TokenizerComparison
from lightning_modules.stage_module import StageModule
from models.generation import SamplingConfig
from training.eval_mode import eval_mode
from training.stage_drawing import record_sampling, require_components, resolve_sampling


class Figure6(PeriodicScores):
    """Logs `geneval/overall_<branch>` and `geneval/rebuilt_<branch>` over `images`; writes `figure6.svg` at the end.

    Every branch draws the same held-out prompts under the same seeds. It goes with a `TokenizerComparison`, whose losses
    the figure shows beside the scores; `evals/playground/figure6.py` says what can be compared and what cannot.

    Args:
        every_n_epochs: how often the branches draw; they also draw at the end.
        per_category: GenEval prompts of each category.
        seeds: drawings of each prompt.
        sampling: of the drawings; what is None is the model's own.
        seed: of prompts and drawings, the same ones each time.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        per_category: int = 8,
        seeds: int = 1,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        if min(per_category, seeds) < 1:
            raise ValueError("Figure6: per_category and seeds are at least 1")
        self.sizes = {"per_category": per_category, "seeds": seeds, "seed": seed}
        self.sampling = sampling or SamplingConfig()

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses branches that cannot draw, and a stage that has none."""
        if not isinstance(pl_module, TokenizerComparison):
            raise ValueError(
                "Figure6 draws with the branches of a TokenizerComparison, and this stage has none"
            )
        for branch in pl_module.branches.values():
            model = require_components(branch, "Figure6", NEEDS["geneval"])
            resolve_sampling(model, "draw", self.sampling, "Figure6")

    def on_train_start(self, trainer: Trainer, pl_module: TokenizerComparison) -> None:
        for name, branch in pl_module.branches.items():
            sampling = resolve_sampling(branch, "draw", self.sampling, "Figure6")
            record_sampling(trainer, f"Figure6 {name}", sampling)

    def scores(self, pl_module: TokenizerComparison) -> dict[str, float]:
        """The scores of every branch, and the images that each has seen."""
        metrics = {"images": float(pl_module.images_seen)}
        for name, branch in pl_module.branches.items():
            with eval_mode(branch) as model:
                scores = branch_scores(model, **self.sizes, sampling=self.sampling)
            metrics |= {f"geneval/{score}_{name}": value for score, value in scores.items()}
        return metrics

    def on_fit_end(self, trainer: Trainer, pl_module: StageModule) -> None:
        super().on_fit_end(trainer, pl_module)
        if trainer.is_global_zero and not trainer.fast_dev_run:
            folder = Path(trainer.default_root_dir)
            write_text(folder / "figure6.svg", draw_figure(folder / "metrics.csv"))
