"""FID and KID during training, by torchmetrics: of drawings of prompts, and of reconstructions."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.wrappers import FeatureShare

from callbacks.periodic_scores import PeriodicScores
from evals.drawn_folder import image_seed
from evals.fidelity.extractor import Extractor
from evals.fidelity.inception import LAYERS, check_weights, find_weights, load_inception, torch_fidelity
from evals.fidelity.scores import KID_SUBSET_SIZE
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


class PooledFeatures(nn.Module):
    """An extractor with the interface that torchmetrics expects: images (B, 3, H, W) uint8 -> features (B, D)."""

    def __init__(self, extractor: Extractor, num_features: int) -> None:
        super().__init__()
        self.extractor, self.network, self.num_features = extractor, extractor.network, num_features

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, D)."""
        return self.extractor(images)[self.extractor.layers[0]]


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
        self.metrics: FeatureShare | None = None  # of the real images, once their features are computed

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

    def _compare(self, model: Illume, images: Iterator[Tensor], prefix: str) -> dict[str, float]:
        metrics = self._real_metrics(model)
        for batch in images:
            metrics.update(batch, real=False)
        values = metrics.compute()
        metrics.reset()
        return {f"val/{prefix}fid": float(values["fid"]), f"val/{prefix}kid": float(values["kid"][0])}

    def _real_metrics(self, model: Illume) -> FeatureShare:
        """The metrics, which hold the real images' features; those pass through the network once in a run."""
        if self.metrics is None:
            extractor = load_inception(self.inception, str(model.device), LAYERS[:1])
            features = PooledFeatures(extractor, int(extractor.layers[0]))
            kept = {"reset_real_features": False, "sync_on_compute": False}
            size = min(KID_SUBSET_SIZE, len(self.files), len(self.prompts) or len(self.files))
            distance = FrechetInceptionDistance(feature=features, **kept)
            with warnings.catch_warnings():  # that it keeps all features, which is known
                warnings.simplefilter("ignore", UserWarning)
                kernel = KernelInceptionDistance(feature=features, subset_size=size, **kept)
            self.metrics = FeatureShare({"fid": distance, "kid": kernel})
            for squares, _ in self._squares(model):
                self.metrics.update(squares, real=True)
        return self.metrics

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
