"""Pictures while training: what the stage's model draws or rebuilds, in the run's `samples/` and in its loggers."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from evals.contact_sheet import Cell, contact_sheet, save_sheet
from evals.playground.contact_sheets import COLUMNS, reconstruction_sheet
from evals.playground.reconstruction import rebuild
from evals.playground.suite import NEEDS, check_size
from judges.pixels import to_numpy
from models.generation import SamplingConfig, overrides
from models.unified import Illume
from training.eval_mode import eval_mode
from training.loggers import log_image
from training.stage_drawing import note_sampling, require_components, sampling_of
from worlds.playground.judge import read, satisfies
from worlds.playground.prompts import evaluation_prompts


class SampleGrids(Callback):
    """Writes `samples/step-*.png` at each end of validation, the same prompts or scenes each time, captions under each.

    A language stage draws 8 prompts, framed green or red by the judge; one that only decodes shows 8 held-out scenes
    above what its stem alone and its whole detokenizer make of them; any other stage is refused.

    Args:
        seed: of prompts, scenes and samples.
        cfg: guidance of the drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of the drawings.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
    """

    def __init__(
        self,
        seed: int = 0,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> None:
        self.seed = seed
        self.given = overrides("SampleGrids", cfg=cfg, temperature=temperature, top_k=top_k, top_p=top_p)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a stage whose model has nothing to show."""
        draws = pl_module.model.language is not None
        model = require_components(pl_module, "SampleGrids", NEEDS["geneval" if draws else "reconstruction"])
        check_size(model)
        if draws:
            sampling_of(model, "draw", self.given, "SampleGrids")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = pl_module.model
        if model.language is not None:
            note_sampling(trainer, "SampleGrids", sampling_of(model, "draw", self.given, "SampleGrids"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run or trainer.state.fn != TrainerFn.FITTING:
            return
        with eval_mode(pl_module) as model:
            sheet = self._sheet(model)
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        save_sheet(sheet, Path(trainer.default_root_dir) / "samples" / f"step-{step:07d}.png")
        for logger in trainer.loggers:
            log_image(logger, "samples", sheet, step)

    def _sheet(self, model: Illume) -> Image.Image:
        if model.language is not None:
            return drawing_sheet(model, self.seed, **self.given)
        return reconstruction_sheet(rebuild(model, COLUMNS, self.seed), 1)


def drawing_sheet(model: Illume, seed: int = 0, **sampling: Any) -> Image.Image:
    """Drawings of eight prompts, of every category, framed by the judge's verdict; `sampling` as in `Illume.draw`."""
    every = evaluation_prompts(2, seed)
    prompts = [every[i * len(every) // COLUMNS] for i in range(COLUMNS)]
    seeds = [seed + i for i in range(COLUMNS)]
    images = model.draw_batch([p.text for p in prompts], seeds, SamplingConfig(**sampling))
    readings = read(to_numpy(images))
    rows = zip(prompts, images, readings, strict=True)
    return contact_sheet([Cell(image, p.text, satisfies(r, p.spec).ok) for p, image, r in rows], 4)
