"""Pictures while training: what the stage's model draws or rebuilds, in the run's `samples/` and in its loggers."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from callbacks.logged_picture import log_picture
from callbacks.stage_model import evaluated
from evals.contact import COLUMNS, reconstruction_sheet
from evals.pixels import arrays
from evals.reconstruction import rebuild
from evals.sheets import Cell, contact_sheet, save_sheet
from evals.suite import measures_of
from models.unified import Illume
from playground.judge import read, satisfies
from playground.prompts import evaluation_prompts


class SampleGrids(Callback):
    """Writes `samples/step-*.png` at each end of validation, the same prompts or scenes each time, captions under each.

    A model that draws draws 8 prompts, framed green or red by the judge; one that only decodes shows 8 held-out
    scenes above what its stem alone and its whole detokenizer make of them; any other stage shows nothing.

    Args:
        seed: of prompts, scenes and samples.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run or trainer.state.fn != TrainerFn.FITTING:
            return
        with evaluated(pl_module) as model:
            sheet = self._sheet(model)
        if sheet is None or not trainer.is_global_zero:
            return
        step = trainer.global_step
        save_sheet(sheet, Path(trainer.default_root_dir) / "samples" / f"step-{step:07d}.png")
        for logger in trainer.loggers:
            log_picture(logger, "samples", sheet, step)

    def _sheet(self, model: Illume) -> Image.Image | None:
        able = measures_of(model)
        if "geneval" in able:
            return drawing_sheet(model, self.seed)
        return (
            reconstruction_sheet(rebuild(model, COLUMNS, self.seed), 1) if "reconstruction" in able else None
        )


def drawing_sheet(model: Illume, seed: int = 0) -> Image.Image:
    """Drawings of eight prompts, of every category, framed by the judge's verdict."""
    every = evaluation_prompts(2, seed)
    prompts = [every[i * len(every) // COLUMNS] for i in range(COLUMNS)]
    seeds = [seed + i for i in range(COLUMNS)]
    images = model.draw([p.text for p in prompts], seeds)
    readings = read(arrays(images))
    rows = zip(prompts, images, readings, strict=True)
    return contact_sheet([Cell(image, p.text, satisfies(r, p.spec).ok) for p, image, r in rows], 4)
