"""Figure 6 while training: each arm of a comparison is scored by its drawings, and at the end the curves are drawn."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from callbacks.periodic_scores import PeriodicScores
from common.files import write_text
from evals.playground.figure6 import arm_scores, draw_figure
from evals.playground.suite import NEEDS
from lightning_modules.comparison import TokenizerComparison
from models.generation import overrides
from training.eval_mode import eval_mode
from training.stage_drawing import note_sampling, require_components, sampling_of


class Figure6(PeriodicScores):
    """Logs `geneval/overall_<arm>` and `geneval/rebuilt_<arm>` over `images`, and ends with the run's `figure6.svg`.

    Every arm draws the same held-out prompts under the same seeds. It goes with a `TokenizerComparison`, whose losses
    the figure shows beside the scores; what can be compared and what cannot is said in `evals/playground/figure6.py`.

    Args:
        every_n_epochs: how often the arms draw; they also draw at the end.
        per_category: GenEval prompts a category.
        seeds: drawings a prompt.
        cfg: guidance of the drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of the drawings.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
        seed: of prompts and drawings, the same ones each time.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        per_category: int = 8,
        seeds: int = 1,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_epochs)
        if min(per_category, seeds) < 1:
            raise ValueError("Figure6: per_category and seeds are at least 1")
        self.sizes = {"per_category": per_category, "seeds": seeds, "seed": seed}
        self.given = overrides("Figure6", cfg=cfg, temperature=temperature, top_k=top_k, top_p=top_p)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses arms that cannot draw, and a stage that has none."""
        if not isinstance(pl_module, TokenizerComparison):
            raise ValueError("Figure6 draws with the branches of a TokenizerComparison, and this stage has none")
        for arm in pl_module.branches.values():
            sampling_of(require_components(arm, "Figure6", NEEDS["geneval"]), "draw", self.given, "Figure6")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, arm in pl_module.branches.items():
            note_sampling(trainer, f"Figure6 {name}", sampling_of(arm, "draw", self.given, "Figure6"))

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """The scores of every arm, and the images that each has seen."""
        metrics = {"images": float(pl_module.images_seen)}
        for name, arm in pl_module.branches.items():
            with eval_mode(arm) as model:
                scores = arm_scores(model, **self.sizes, **self.given)
            metrics |= {f"geneval/{score}_{name}": value for score, value in scores.items()}
        return metrics

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_end(trainer, pl_module)
        if trainer.is_global_zero and not trainer.fast_dev_run:
            folder = Path(trainer.default_root_dir)
            write_text(folder / "figure6.svg", draw_figure(folder / "metrics.csv"))
