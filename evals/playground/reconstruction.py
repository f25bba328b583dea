"""Tokenizer and detokenizer: what decode(encode(image)) keeps of held-out scenes, and what diffusion adds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evals.fidelity.frechet import fd_encoder
from evals.playground.sharpness import sharpness
from judges.pixels import to_numpy, render_scenes
from models.detokenizer.diffusion import to_uint8
from models.unified import Illume
from worlds.playground.judge import read, same_scene
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene

BATCH = 100


@dataclass(frozen=True)
class Reconstructions:
    """Real images, what the whole detokenizer made of their codes, and its stem alone (None without one)."""

    scenes: list[Scene]
    real: Tensor
    whole: Tensor
    stem: Tensor | None
    codes: Tensor


@torch.no_grad()
def rebuild(model: Illume, samples: int = 600, seed: int = 0) -> Reconstructions:
    """Encodes and decodes held-out scenes, as many of each category."""
    rng = np.random.default_rng([seed, 99])
    scenes = [sample_scene(rng, CATEGORIES[i % len(CATEGORIES)], True) for i in range(samples)]
    real = render_scenes(scenes)
    codes = torch.cat([model.encode(part) for part in real.split(BATCH)])
    seeds = list(range(samples))
    whole, stem = [], []
    for i in range(0, samples, BATCH):
        whole.append(model.decode(codes[i : i + BATCH], seeds[i : i + BATCH]))
        if model.detokenizer.stem is not None:
            stem.append(to_uint8(model.detokenizer.stem(model.tokenizer.decode(codes[i : i + BATCH]))))
    coarse = torch.cat(stem).cpu() if stem else None
    return Reconstructions(scenes, real, torch.cat(whole).cpu(), coarse, codes)


def exactly_right(images: Tensor, scenes: list[Scene]) -> float:
    """The share of images in which the judge reads every object of the scene in its place, and nothing else."""
    return float(np.mean([same_scene(r, s) for r, s in zip(read(to_numpy(images)), scenes, strict=True)]))


def reconstruction_scores(model: Illume, rebuilt: Reconstructions) -> dict[str, float]:
    """Reading, sharpness and Frechet distance of the whole detokenizer, and of its stem alone beside it."""
    scores: dict[str, float] = {
        "reconstruction/judge_on_truth": exactly_right(rebuilt.real, rebuilt.scenes),
        "reconstruction/stem": float(rebuilt.stem is not None),  # whether a stem feeds the diffusion
    }
    for name, images in (("reconstruction", rebuilt.whole), ("stem_alone", rebuilt.stem)):
        if images is None:
            continue
        scores[f"{name}/exact"] = exactly_right(images, rebuilt.scenes)
        scores |= {f"{name}/sharpness_{band}": v for band, v in sharpness(images, rebuilt.real).items()}
        scores[f"{name}/fd_encoder"] = fd_encoder(model, images, rebuilt.real)
    return scores
