"""FID and KID during training: of drawings of prompts, and of reconstructions."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from callbacks.periodic_scores import PeriodicScores
from evals.drawn_folder import image_seed
from evals.fidelity.extractor import Extractor
from evals.fidelity.frechet import frechet_distance
from evals.fidelity.inception import LAYERS, check_weights, find_weights, load_inception, torch_fidelity
from evals.fidelity.scores import kid
from evals.image_sets import image_files
from evals.playground.suite import NEEDS, supported_measures
from evals.prompt_file import read_prompts
from evals.settings import FidSettings
from evals.subsets import spread
from lightning_modules.stage_module import StageModule
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import record_sampling, require_components, resolve_sampling

log = logging.getLogger(__name__)


class Fidelity(PeriodicScores):
    """Logs `val/fid` and `val/kid` of drawings, `val/rfid` and `val/rkid` of reconstructions, as the stage can draw them.

    The real images are the centre squares that the model sees. All ranks measure alike. The FID of few images is high:
    compare it with others of as many. Without prompts only reconstructions are measured; `limit` images and prompts are
    taken, evenly spaced.

    Raises FileNotFoundError, ValueError if images, prompts or weights are not there, or something else.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        at_end: bool = True,
        limit: int | None = 512,
        batch: int = 32,
        **settings: Any,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        self.settings = FidSettings(features=None, limit=limit, batch=batch, **settings)
        self.files = spread(image_files(self.settings.real), limit)
        prompts = self.settings.prompts
        self.prompts = [] if prompts is None else spread(read_prompts(Path(prompts)), limit)
        if min(len(self.files), len(self.prompts) or 2) < 2:
            raise ValueError("Fidelity: it takes 2 images and 2 prompts or more")
        torch_fidelity()
        self.inception = find_weights(self.settings.inception)
        check_weights(self.inception)
        self.extractor: Extractor | None = (
            None  # once the first scores are computed, as the real images' features
        )
        self.real = torch.empty(0)

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Refuses a stage whose model cannot draw the images, before anything is spent."""
        model = require_components(pl_module, "Fidelity", self._components(pl_module.model))
        if self._draws(model):
            self._sampling(model)
        elif self.prompts:
            log.warning("Fidelity draws no prompts: this stage has no language model; val/rfid is measured")

    def on_train_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        if self._draws(pl_module.model):
            record_sampling(trainer, "Fidelity", self._sampling(pl_module.model))

    def _sampling(self, model: Illume) -> dict[str, Any]:
        return resolve_sampling(model, "draw", self.settings.sampling, "Fidelity")

    def _draws(self, model: Illume) -> bool:
        return bool(self.prompts) and model.language is not None

    def _components(self, model: Illume) -> tuple[str, ...]:
        return NEEDS["geneval" if self._draws(model) else "reconstruction"]

    def scores(self, pl_module: StageModule) -> dict[str, float]:
        """Of drawings, where there are prompts and a language model, and of reconstructions."""
        with eval_mode(pl_module) as model:
            require_components(pl_module, "Fidelity", self._components(model))
            found: dict[str, float] = {}
            torch.manual_seed(self.settings.seed)
            if self._draws(model):
                found |= self._compare(model, self._drawings(model), "")
            if "reconstruction" in supported_measures(model):
                found |= self._compare(model, self._reconstructions(model), "r")
        return found

    def _compare(self, model: Illume, images: Iterable[Tensor], prefix: str) -> dict[str, float]:
        """The scores of batches of images; the real ones pass through the network once in a run."""
        if self.extractor is None:
            self.extractor = load_inception(self.inception, str(model.device), LAYERS[:1])
            self.real = self._features(self.extractor, (squares for squares, _ in self._squares(model)))
        features = self._features(self.extractor, images)
        fid = frechet_distance(features, self.real)
        return {f"val/{prefix}fid": fid, f"val/{prefix}kid": kid(features, self.real)["kid"]}

    def _features(self, extractor: Extractor, images: Iterable[Tensor]) -> Tensor:
        return torch.cat([extractor(batch)[extractor.layers[0]] for batch in images])

    def _batches(self, items: Sequence[Any]) -> Iterator[tuple[Sequence[Any], list[int]]]:
        """Batches of items, with the seeds of their images."""
        for start in range(0, len(items), self.settings.batch):
            batch = items[start : start + self.settings.batch]
            yield batch, [image_seed(self.settings.seed, start + i) for i in range(len(batch))]

    def _squares(self, model: Illume) -> Iterator[tuple[Tensor, list[int]]]:
        for files, seeds in self._batches(self.files):
            yield torch.stack([file.square(model.code_input.size) for file in files]), seeds

    def _drawings(self, model: Illume) -> Iterator[Tensor]:
        for prompts, seeds in self._batches(self.prompts):
            yield model.draw_batch(prompts, seeds, self.settings.sampling).cpu()

    def _reconstructions(self, model: Illume) -> Iterator[Tensor]:
        for squares, seeds in self._squares(model):
            yield model.decode(model.encode(squares), seeds).cpu()
