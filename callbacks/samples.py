"""Sample images during training: what the stage's model draws or reconstructs, in `samples/` and in the loggers."""

from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from evals.contact_sheet import Cell, contact_sheet, save_sheet
from evals.playground.contact_sheets import COLUMNS, reconstruction_sheet
from evals.playground.geneval import judge_drawings
from evals.playground.reconstruction import reconstruct
from evals.playground.suite import NEEDS, check_size
from lightning_modules.stage_module import StageModule
from models.generation import SamplingConfig
from models.unified import Illume
from training.eval_mode import eval_mode
from training.loggers import log_image
from training.stage_drawing import record_sampling, require_components, resolve_sampling
from worlds.playground.prompts import evaluation_prompts


class SampleGrids(Callback):
    """Writes `samples/step-*.png` at each end of validation, the same prompts or scenes each time, captions under each.

    A language stage draws 8 prompts, framed green or red by the judge; one that only decodes shows 8 held-out scenes
    above what its stem alone and its whole detokenizer make of them; any other stage is refused.

    Args:
        seed: of prompts, scenes and samples.
        sampling: of the drawings; what is None is the model's own.
    """

    def __init__(self, seed: int = 0, sampling: SamplingConfig | None = None) -> None:
        self.seed, self.sampling = seed, sampling or SamplingConfig()

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses a stage whose model has nothing to show."""
        draws = pl_module.model.language is not None
        model = require_components(pl_module, "SampleGrids", NEEDS["geneval" if draws else "reconstruction"])
        check_size(model)
        if draws:
            resolve_sampling(model, "draw", self.sampling, "SampleGrids")

    def on_train_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        model = pl_module.model
        if model.language is not None:
            sampling = resolve_sampling(model, "draw", self.sampling, "SampleGrids")
            record_sampling(trainer, "SampleGrids", sampling)

    def on_validation_end(self, trainer: Trainer, pl_module: StageModule) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run or trainer.state.fn != TrainerFn.FITTING:
            return
        with eval_mode(pl_module) as model:
            if model.language is not None:
                sheet = drawing_sheet(model, self.seed, self.sampling)
            else:
                sheet = reconstruction_sheet(reconstruct(model, COLUMNS, self.seed), 1)
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        save_sheet(sheet, Path(trainer.default_root_dir) / "samples" / f"step-{step:07d}.png")
        for logger in trainer.loggers:
            log_image(logger, "samples", sheet, step)


def drawing_sheet(model: Illume, seed: int = 0, sampling: SamplingConfig | None = None) -> Image.Image:
    """Drawings of eight prompts, of every category, framed by the judge's verdict."""
    every = evaluation_prompts(2, seed)
    prompts = [every[i * len(every) // COLUMNS] for i in range(COLUMNS)]
    images = model.draw_batch([p.text for p in prompts], [seed + i for i in range(COLUMNS)], sampling)
    return contact_sheet([Cell(d.image, d.prompt.text, d.ok) for d in judge_drawings(prompts, images)], 4)
