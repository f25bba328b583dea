"""FID and KID while training, by torchmetrics: of drawings of prompts, and of reconstructions."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from evals.drawing import seed_of
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.wrappers import FeatureShare

from callbacks.periodic_scores import PeriodicScores
from evals.fidelity.extractor import Extractor
from evals.fidelity.inception import LAYERS, check_weights, find_weights, load_inception, torch_fidelity
from evals.fidelity.scores import KID_SUBSET_SIZE
from evals.fidelity.tasks import read_prompts
from evals.image_sets import pictures_in, spread, square_of
from evals.playground.suite import NEEDS, supported_measures
from models.generation import SamplingConfig, overrides
from models.unified import Illume
from training.eval_mode import eval_mode
from training.stage_drawing import note_sampling, require_components, sampling_of

log = logging.getLogger(__name__)


class PooledFeatures(nn.Module):
    """An extractor as torchmetrics wants a network: images (B, 3, H, W) uint8 to features (B, D)."""

    def __init__(self, extractor: Extractor, num_features: int) -> None:
        super().__init__()
        self.extractor, self.network, self.num_features = extractor, extractor.network, num_features

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, D)."""
        return self.extractor(images)[self.extractor.layers[0]]


class Fidelity(PeriodicScores):
    """Logs `val/fid` and `val/kid` of drawings, `val/rfid` and `val/rkid` of reconstructions, as the stage can make them.

    The real images are the centre squares that the model would see. All ranks measure alike. Few images give a high FID:
    hold it against others of as many.

    Args:
        real: folder, .zip or .tar of images.
        prompts: file of prompts to draw, one a line; without it only reconstructions are measured.
        inception: file of Inception weights; None: torch-fidelity's own, downloaded once.
        samples: at most so many images and prompts, evenly from all over them.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to measure when training ends, if the last epoch did not.
        seed: of drawings and subsets, the same ones each time.
        cfg: guidance of the drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of the drawings.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
        batch: images at once.

    Raises:
        FileNotFoundError, ValueError: images, prompts or weights are not there, or something else.
    """

    def __init__(
        self,
        real: str,
        prompts: str | None = None,
        inception: str | None = None,
        samples: int = 512,
        every_n_epochs: int = 1,
        at_end: bool = True,
        seed: int = 0,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        batch: int = 32,
    ) -> None:
        super().__init__(every_n_epochs, at_end)
        self.pictures = spread(pictures_in(Path(real)), samples)
        self.prompts = [] if prompts is None else spread(read_prompts(Path(prompts)), samples)
        if min(len(self.pictures), len(self.prompts) or 2, batch + 1) < 2:
            raise ValueError("Fidelity: it takes 2 images and 2 prompts or more, and a batch of at least 1")
        torch_fidelity()
        self.inception = find_weights(None if inception is None else Path(inception))
        check_weights(self.inception)
        self.seed, self.batch = seed, batch
        self.given = overrides("Fidelity", cfg=cfg, temperature=temperature, top_k=top_k, top_p=top_p)
        self.metrics: FeatureShare | None = None  # of the real images, once they have been looked at

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a stage whose model cannot make the images, before anything is spent."""
        model = require_components(pl_module, "Fidelity", self._needs(pl_module.model))
        if self._draws(model):
            sampling_of(model, "draw", self.given, "Fidelity")
        elif self.prompts:
            log.warning("Fidelity draws no prompts: this stage has no language model; val/rfid is measured")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = pl_module.model
        if self._draws(model):
            note_sampling(trainer, "Fidelity", sampling_of(model, "draw", self.given, "Fidelity"))

    def _draws(self, model: Illume) -> bool:
        return bool(self.prompts) and model.language is not None

    def _needs(self, model: Illume) -> tuple[str, ...]:
        return NEEDS["geneval" if self._draws(model) else "reconstruction"]

    def scores(self, pl_module: LightningModule) -> dict[str, float]:
        """Of drawings, where there are prompts and a language model, and of reconstructions."""
        with eval_mode(pl_module) as model:
            require_components(pl_module, "Fidelity", self._needs(model))
            found: dict[str, float] = {}
            torch.manual_seed(self.seed)
            if self._draws(model):
                found |= self._measure_images(model, self._drawings(model), "")
            if "reconstruction" in supported_measures(model):
                found |= self._measure_images(model, self._reconstructions(model), "r")
        return found

    def _measure_images(self, model: Illume, images: Iterator[Tensor], prefix: str) -> dict[str, float]:
        metrics = self._real_metrics(model)
        for part in images:
            metrics.update(part, real=False)
        values = metrics.compute()
        metrics.reset()
        return {f"val/{prefix}fid": float(values["fid"]), f"val/{prefix}kid": float(values["kid"][0])}

    def _real_metrics(self, model: Illume) -> FeatureShare:
        """The metrics, which know the real images; those pass through the network once in a run."""
        if self.metrics is None:
            extractor = load_inception(self.inception, str(model.device), LAYERS[:1])
            features = PooledFeatures(extractor, int(extractor.layers[0]))
            kept = {"reset_real_features": False, "sync_on_compute": False}
            size = min(KID_SUBSET_SIZE, len(self.pictures), len(self.prompts) or len(self.pictures))
            distance = FrechetInceptionDistance(feature=features, **kept)
            with warnings.catch_warnings():  # that it keeps all features, which is known
                warnings.simplefilter("ignore", UserWarning)
                kernel = KernelInceptionDistance(feature=features, subset_size=size, **kept)
            self.metrics = FeatureShare({"fid": distance, "kid": kernel})
            for part in self._squares(model):
                self.metrics.update(part, real=True)
        return self.metrics

    def _squares(self, model: Illume) -> Iterator[Tensor]:
        for part in _batches(self.pictures, self.batch):
            yield torch.stack([square_of(picture, model.code_input.size) for picture in part])

    def _drawings(self, model: Illume) -> Iterator[Tensor]:
        seeds = [seed_of(self.seed, i) for i in range(len(self.prompts))]
        for words, own in zip(_batches(self.prompts, self.batch), _batches(seeds, self.batch), strict=True):
            yield model.draw_batch(words, own, SamplingConfig(**self.given)).cpu()

    def _reconstructions(self, model: Illume) -> Iterator[Tensor]:
        for number, images in enumerate(self._squares(model)):
            first = number * self.batch
            seeds = [seed_of(self.seed, first + i) for i in range(len(images))]
            yield model.decode(model.encode(images), seeds).cpu()


def _batches(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))
